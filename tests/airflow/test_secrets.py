"""No secret comes out anywhere: not in a log, XCom, rendered field, trigger, state, exception or test message.

Airflow masks the passwords of connections in logs. That is switched off here: nothing may depend on it.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow, Log, query, takes

SECRET = "cfut_N0body-may-read-th1s"
MAIL = "nightly@example.com"
Rows = Callable[..., str]
AfterCheck = Callable[[int, Callable[[], Any]], None]
#: What a careless program would write down, too.
FORMS = (SECRET, base64.b64encode(f"{MAIL}:{SECRET}".encode()).decode(), SECRET.encode().hex())


@pytest.fixture(scope="module")
def server() -> Iterator[LocalVectorize]:
    with LocalVectorize.start(restrict=False, extra_args=["--token", SECRET]) as local:
        local.token = SECRET
        yield local


@pytest.fixture(params=["API token", "Global API key"])
def guarded(
    request: pytest.FixtureRequest, airflow_home: Airflow, server: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> LocalVectorize:
    """A local Vectorize that takes only the secret, known to Airflow, with an index ``books``."""
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
    """Airflow's own masking off, and the libraries' loggers at their most talkative."""
    for module in list(sys.modules.values()):
        masker = vars(module).get("SecretsMasker")
        if isinstance(masker, type) and hasattr(masker, "add_mask"):
            monkeypatch.setattr(masker, "add_mask", lambda *_, **__: None)
    caplog.set_level("DEBUG")


def database() -> str:
    """All rows of all tables, and what is in the encrypted ones."""
    from airflow.models.crypto import get_fernet

    rows = [
        (table, *row)
        for (table,) in query("select name from sqlite_master where type = 'table'")
        if table != "sqlite_sequence"
        for row in query(f"select * from {table}")
    ]
    fernet = get_fernet()
    opened = [fernet.decrypt(kwargs.encode()).decode() for (kwargs,) in query("select kwargs from trigger")]
    return "\n".join(map(str, [*rows, *opened]))


def home() -> str:
    """All files that Airflow wrote: its logs, its configuration, its database."""
    files = [path for path in Path(os.environ["AIRFLOW_HOME"]).rglob("*") if path.is_file()]
    return "\n".join(path.read_bytes().decode(errors="replace") for path in files)


def assert_no_secret(**surfaces: str) -> None:
    for surface, text in surfaces.items():
        assert text, f"there is nothing to be seen in the {surface}"
        for form in FORMS:
            assert form not in text, f"the secret is in the {surface}"


def test_this_test_would_see_a_leak(log: Log, guarded: LocalVectorize) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    hook.log.info("careless: %s", hook.connection().password)

    with pytest.raises(AssertionError, match="the secret is in the log"):
        assert_no_secret(log=log.text)


def test_a_green_run_shows_no_secret(
    airflow: Airflow, guarded: LocalVectorize, rows: Rows, after_check: AfterCheck
) -> None:
    while_deferred: list[str] = []
    guarded.hold()
    after_check(2, lambda: while_deferred.append(database()))
    after_check(3, guarded.release)

    run = airflow.run("upsert_then_wait_deferrable", {"source": rows(10)})

    assert run.states() == {"load": "success", "wait": "success", "take": "success"}
    (deferred,) = while_deferred
    if takes(airflow.bag.dags[run.dag_id].test, "logical_date"):  # Airflow 2 runs triggers in line without a row
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
def test_a_failed_run_shows_no_secret(airflow: Airflow, guarded: LocalVectorize, rows: Rows, fault: str) -> None:
    guarded.fail(fault, operation="upsert", after=3, times=None, **FAULTS[fault])

    run = airflow.run("load_durable_1", {"source": rows(100)})

    assert run.states() == {"load": "failed"}
    assert "Before that, 30 vectors in 3 batches were acknowledged" in airflow.log.text
    if query("select 1 from sqlite_master where name = 'task_state_store'"):
        assert query("select value from task_state_store where run_id = ?", run.run_id)
    assert_no_secret(log=airflow.log.text, database=database(), home=home())


def test_a_refused_secret_is_not_repeated(
    airflow: Airflow, guarded: LocalVectorize, rows: Rows, server: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_VECTORIZE_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_VECTORIZE_DEFAULT", json.dumps(connection | {"password": f"{SECRET}-old"}))

    run = airflow.run("load_durable_1", {"source": rows(10)})

    assert run.states() == {"load": "failed"}
    assert_no_secret(log=airflow.log.text, database=database(), home=home())


WRONG: dict[str, dict[str, Any]] = {
    "a port where nobody listens": {"host": "http://127.0.0.1:9/client/v4"},
    "a name that is none": {"host": "http://vectorize.invalid/client/v4"},
    "no account": {"extra": {}},
    "an account that is none": {"extra": {"account_id": "../../user"}},
    "a bad number": {"extra": {"account_id": "0" * 32, "timeout": "soon"}},
    "a secret with a line break": {"password": f"{SECRET}\nX-Evil: 1"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_exception_of_a_wrong_connection_shows_no_secret(
    guarded: LocalVectorize, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.errors import VectorizeError
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    connection = json.loads(os.environ["AIRFLOW_CONN_VECTORIZE_DEFAULT"])
    connection |= WRONG[wrong]
    connection["extra"] = {"retry_seconds": 0, **connection["extra"]}
    monkeypatch.setenv("AIRFLOW_CONN_VECTORIZE_DEFAULT", json.dumps(connection))

    with pytest.raises(VectorizeError) as caught:
        VectorizeHook().list_indexes()

    told = "".join(traceback.format_exception(caught.value))
    assert_no_secret(exception=told + repr(caught.value) + repr(vars(caught.value)))
    fine, message = VectorizeHook().test_connection()
    assert not fine
    assert_no_secret(message=message)


def test_airflow_connections_test_shows_no_secret(guarded: LocalVectorize) -> None:
    def told() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "connections", "test", "vectorize_default"],
            env=os.environ | {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.stdout + done.stderr

    right = told()
    guarded.fail("answer", status=403, code=10000, message="Authentication error")
    wrong = told()

    assert "Connection success!" in right
    assert "Cloudflare refuses the credentials" in wrong
    assert_no_secret(right=right, wrong=wrong)
