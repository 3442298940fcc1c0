"""Tests that no secret appears in a log, XCom, rendered field, trigger, state, exception or test message.

Airflow masks the passwords of connections in logs. The tests disable that, because nothing may depend on it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.visibility.waits import waits_for
from tests.airflow.runs import Airflow, Log, has_parameter, query
from tests.airflow.sensors import MUTATION_ID, make_sensor, run_sensor
from tests.airflow.test_trigger import make_trigger

SECRET = "cfut_N0body-may-read-th1s"
MAIL = "nightly@example.com"
Rows = Callable[..., str]
AfterCheck = Callable[[int, Callable[[], Any]], None]
EVERY_VARIANT = pytest.mark.parametrize("variant", ["poke", "deferrable", "trigger"])
#: Forms in which a careless program could write the secret.
SECRET_FORMS = (SECRET, base64.b64encode(f"{MAIL}:{SECRET}".encode()).decode(), SECRET.encode().hex())


@pytest.fixture(scope="module")
def server() -> Iterator[LocalVectorize]:
    with LocalVectorize.start(restrict=False, extra_args=["--token", SECRET]) as local:
        local.token = SECRET
        yield local


@pytest.fixture(params=["API token", "Global API key"])
def guarded(
    request: pytest.FixtureRequest, airflow_home: Airflow, server: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> LocalVectorize:
    """Return a local Vectorize that accepts only the secret, as the default connection, with an index ``books``."""
    server.reset()
    connection = server.connection
    connection["extra"] |= {"retry_seconds": 0}
    if request.param == "Global API key":
        connection["login"] = MAIL
    monkeypatch.setenv("AIRFLOW_CONN_VECTORIZE_DEFAULT", json.dumps(connection))
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    VectorizeHook().create_index("books", dimensions=32, metric="cosine")
    return server


@pytest.fixture(autouse=True)
def unmasked(airflow_home: Airflow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Disable the masking of Airflow, and let all loggers log at level DEBUG."""
    for module in list(sys.modules.values()):
        masker = vars(module).get("SecretsMasker")
        if isinstance(masker, type) and hasattr(masker, "add_mask"):
            monkeypatch.setattr(masker, "add_mask", lambda *_, **__: None)
    caplog.set_level("DEBUG")


def database() -> str:
    """Return all rows of all tables, and the decrypted arguments of triggers."""
    from airflow.models.crypto import get_fernet

    rows = [
        (table, *row)
        for (table,) in query("select name from sqlite_master where type = 'table'")
        if table != "sqlite_sequence"
        for row in query(f"select * from {table}")
    ]
    fernet = get_fernet()
    decrypted = [fernet.decrypt(kwargs.encode()).decode() for (kwargs,) in query("select kwargs from trigger")]
    return "\n".join(map(str, [*rows, *decrypted]))


def home() -> str:
    """Return the content of all files that Airflow wrote: logs, configuration, database."""
    files = [path for path in Path(os.environ["AIRFLOW_HOME"]).rglob("*") if path.is_file()]
    return "\n".join(path.read_bytes().decode(errors="replace") for path in files)


def assert_no_secret(**surfaces: str) -> None:
    for surface, text in surfaces.items():
        assert text, f"the {surface} is empty"
        for form in SECRET_FORMS:
            assert form not in text, f"the secret is in the {surface}"


def local_variables(error: BaseException) -> str:
    """Return the local variables of this package in a traceback, as ``dag.test()`` of Airflow 3.0 and Sentry show them.

    Of a chain of exceptions, these are all that a traceback shows.
    """
    texts: list[str] = []
    shown: BaseException | None = error
    while shown is not None:
        for frame, _ in traceback.walk_tb(shown.__traceback__):
            if frame.f_globals["__name__"].startswith("airflow_provider_vectorize."):
                texts += [f"{frame.f_code.co_qualname}: {name} = {value!r}" for name, value in frame.f_locals.items()]
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    return "\n".join(texts)


def test_assert_no_secret_with_a_leak_fails(log: Log, guarded: LocalVectorize) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    hook.log.info("careless: %s", hook.connection().password)

    with pytest.raises(AssertionError, match="the secret is in the log"):
        assert_no_secret(log=log.text)


def test_successful_run_shows_no_secret(
    airflow: Airflow, guarded: LocalVectorize, rows: Rows, after_check: AfterCheck
) -> None:
    while_deferred: list[str] = []
    guarded.hold()
    after_check(2, lambda: while_deferred.append(database()))
    after_check(3, guarded.release)

    run = airflow.run("upsert_then_wait_deferrable", {"source": rows(10)})

    assert run.states() == {"load": "success", "wait": "success", "receive": "success"}
    (deferred,) = while_deferred
    # In dag.test(), Airflow 2 runs triggers without a database row.
    if has_parameter(airflow.bag.dags[run.dag_id].test, "logical_date"):
        _, *rows_of_triggers = deferred.split("VectorizeMutationTrigger")
        assert any(run.xcom("load", "mutation_id") in row for row in rows_of_triggers)
    assert_no_secret(log=airflow.log.text, database=database() + deferred, home=home())


FAULTS: dict[str, dict[str, Any]] = {
    "http_500": {},
    "not_json": {},
    "cut_before": {},
    "cut_during_answer": {},
    "redirect": {"location": "http://127.0.0.1:9/elsewhere"},
    "answer": {"status": 403, "code": 10000, "message": "Authentication error"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_failed_run_shows_no_secret(airflow: Airflow, guarded: LocalVectorize, rows: Rows, fault: str) -> None:
    guarded.fail(fault, operation="upsert", after=3, times=None, **FAULTS[fault])

    run = airflow.run("load_durable_1", {"source": rows(100)})

    assert run.states() == {"load": "failed"}
    assert "Before that, 30 vectors in 3 batches were acknowledged" in airflow.log.text
    if query("select 1 from sqlite_master where name = 'task_state_store'"):
        assert query("select value from task_state_store where run_id = ?", run.run_id)
    assert_no_secret(log=airflow.log.text, database=database(), home=home())


def test_run_with_refused_credentials_shows_no_secret(
    airflow: Airflow, guarded: LocalVectorize, rows: Rows, server: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_VECTORIZE_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_VECTORIZE_DEFAULT", json.dumps(connection | {"password": f"{SECRET}-old"}))

    run = airflow.run("load_durable_1", {"source": rows(10)})

    assert run.states() == {"load": "failed"}
    assert_no_secret(log=airflow.log.text, database=database(), home=home())


WRONG_FIELDS: dict[str, dict[str, Any]] = {
    "a closed port": {"host": "http://127.0.0.1:9/client/v4"},
    "a host that does not resolve": {"host": "http://vectorize.invalid/client/v4"},
    "no account ID": {"extra": {}},
    "a malformed account ID": {"extra": {"account_id": "../../user"}},
    "a malformed number": {"extra": {"account_id": "0" * 32, "timeout": "soon"}},
    "a secret with a line break": {"password": f"{SECRET}\nX-Evil: 1"},
    "the secret in the extra fields": {"password": "", "extra": {"account_id": "0" * 32, "token": SECRET}},
}


@pytest.mark.parametrize("wrong_field", WRONG_FIELDS)
def test_exception_of_wrong_connection_shows_no_secret(
    guarded: LocalVectorize, wrong_field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.errors import VectorizeError
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    connection = json.loads(os.environ["AIRFLOW_CONN_VECTORIZE_DEFAULT"])
    connection |= WRONG_FIELDS[wrong_field]
    connection["extra"] = {"retry_seconds": 0, **connection["extra"]}
    monkeypatch.setenv("AIRFLOW_CONN_VECTORIZE_DEFAULT", json.dumps(connection))

    with pytest.raises(VectorizeError) as caught:
        VectorizeHook().list_indexes()

    exception_text = "".join(traceback.format_exception(caught.value))
    assert_no_secret(exception=exception_text + repr(caught.value) + repr(vars(caught.value)))
    assert_no_secret(variables=local_variables(caught.value))
    ok, message = VectorizeHook().test_connection()
    assert not ok
    assert_no_secret(message=message)


@pytest.mark.parametrize("method", ["load", "sync", "check", "get_index"])
def test_variables_of_a_failed_call_show_no_secret(
    guarded: LocalVectorize, rows: Rows, tmp_path: Path, method: str
) -> None:
    from airflow_provider_vectorize.errors import ServerError
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    arguments: dict[str, dict[str, Any]] = {
        "load": {"source": rows(10), "operation": "upsert"},
        "sync": {"source": rows(10), "state": str(tmp_path / "state")},
        "check": {"queries": rows(10)},
        "get_index": {},
    }
    guarded.fail("http_500", times=None)

    with pytest.raises(ServerError) as caught:
        getattr(VectorizeHook(), method)("books", **arguments[method])

    assert_no_secret(variables=local_variables(caught.value))


def failure_of_wait(variant: str) -> BaseException:
    """Return the error with which a wait ends: in a worker, in the trigger itself, or in a sensor after its trigger."""
    sensor = make_sensor(MUTATION_ID, variant, index_name="books", timeout=0.3)
    try:
        if variant == "trigger":
            waits = [wait.to_dict() for wait in waits_for(MUTATION_ID, "books")]
            raise TimeoutError(asyncio.run(make_trigger(waits, deadline=time.time() + 0.3)._wait()))
        run_sensor(sensor)
    except Exception as error:  # noqa: BLE001 - any error may have frames with secrets
        return error
    raise AssertionError("the wait has succeeded")


def assert_wait_shows_no_secret(error: BaseException, log: Log) -> None:
    exception_text = "".join(traceback.format_exception(error))
    assert_no_secret(exception=exception_text + repr(error), variables=local_variables(error) + "-", log=log.text + "-")


@EVERY_VARIANT
@pytest.mark.parametrize("wrong_field", WRONG_FIELDS)
def test_wait_with_wrong_connection_shows_no_secret(
    guarded: LocalVectorize, log: Log, wrong_field: str, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_VECTORIZE_DEFAULT"]) | WRONG_FIELDS[wrong_field]
    monkeypatch.setenv("AIRFLOW_CONN_VECTORIZE_DEFAULT", json.dumps(connection))

    assert_wait_shows_no_secret(failure_of_wait(variant), log)


@EVERY_VARIANT
@pytest.mark.parametrize("fault", FAULTS)
def test_wait_that_fails_shows_no_secret(guarded: LocalVectorize, log: Log, fault: str, variant: str) -> None:
    guarded.fail(fault, times=None, **FAULTS[fault])

    assert_wait_shows_no_secret(failure_of_wait(variant), log)


#: Runs two commands in one process, because it takes seconds to import Airflow.
TEST_CONNECTIONS = """
import sys
from airflow.__main__ import main

for name in ("vectorize_default", "vectorize_refused"):
    sys.argv = ["airflow", "connections", "test", name]
    try:
        main()
    except SystemExit:
        pass
"""


def test_airflow_connections_test_command_shows_no_secret(guarded: LocalVectorize) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_VECTORIZE_DEFAULT"])
    refused = json.dumps(connection | {"password": f"{SECRET}-old"})
    process = subprocess.run(
        [sys.executable, "-c", TEST_CONNECTIONS],
        env=os.environ | {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled", "AIRFLOW_CONN_VECTORIZE_REFUSED": refused},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = process.stdout + process.stderr
    assert "Connection success!" in printed
    assert "Cloudflare refuses the credentials" in printed
    assert_no_secret(printed=printed)
