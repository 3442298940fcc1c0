"""Tests of the sensor: its arguments, its log and errors, and the proofs that it accepts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import connect
from tests.airflow.runs import Airflow

Rows = Callable[..., str]
AfterCheck = Callable[[int, Callable[[], Any]], None]
BOTH_MODES = pytest.mark.parametrize("mode", ["poke", "deferrable"])


@pytest.fixture
def receipt(airflow_home: Airflow, books: LocalVectorize, rows: Rows) -> dict[str, Any]:
    """Receipt of a load of ten rows that Vectorize has not processed yet."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    books.hold()
    return VectorizeHook().load("books", rows(10))


def make_sensor(mutation: Any, mode: str = "poke", **options: Any) -> Any:
    """Return a sensor that checks every 0.01 seconds."""
    from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

    options = {"task_id": "wait", "poke_interval": 0.01, "timeout": 60, **options}
    return VectorizeMutationSensor(mutation=mutation, deferrable=mode == "deferrable", **options)


def run_sensor(task: Any) -> None:
    """Execute a sensor as Airflow does: if it defers, run the trigger and resume a fresh instance."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    try:
        task.execute({})
    except TaskDeferred as deferred:
        event = asyncio.run(_event(deferred.trigger))
        fresh = make_sensor(task.mutation, "deferrable", timeout=task.timeout)
        fresh.soft_fail, fresh.never_fail = task.soft_fail, task.never_fail
        fresh.resume_execution(deferred.method_name, {"event": event}, {})


async def _event(trigger: Any) -> Any:
    return (await anext(aiter(trigger.run()))).payload


@BOTH_MODES
def test_sensor_succeeds_when_the_load_is_processed(
    receipt: dict[str, Any], books: LocalVectorize, mode: str, after_check: AfterCheck
) -> None:
    after_check(3, books.process)

    run_sensor(make_sensor(receipt, mode))

    assert books.count("books") == 10


@BOTH_MODES
def test_sensor_timeout_names_what_is_missing(receipt: dict[str, Any], mode: str) -> None:
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    with pytest.raises(AirflowSensorTimeout) as caught:
        run_sensor(make_sensor(receipt, mode, timeout=0.1))

    assert receipt["mutation_id"] in str(caught.value)
    assert "Not visible yet: 10 vectors" in str(caught.value)
    assert "has not processed any mutation yet" in str(caught.value)


@BOTH_MODES
def test_sensor_timeout_is_not_retried(airflow: Airflow, books: LocalVectorize, rows: Rows, mode: str) -> None:
    books.hold()

    run = airflow.run(f"wait_in_vain_{mode}", {"source": rows(10)})

    assert run.states() == {"load": "success", "wait": "failed"}
    assert run.tries("wait") == 1
    assert "AirflowSensorTimeout" in airflow.log.text


@BOTH_MODES
def test_sensor_timeout_with_soft_fail_skips_the_task(
    airflow: Airflow, books: LocalVectorize, rows: Rows, mode: str
) -> None:
    books.hold()

    run = airflow.run(f"wait_softly_{mode}", {"source": rows(10)})

    assert run.states() == {"load": "success", "wait": "skipped"}


@BOTH_MODES
@pytest.mark.parametrize("checks", [1, 2])
def test_sensor_index_deleted_during_the_wait_fails(
    receipt: dict[str, Any], mode: str, checks: int, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    after_check(checks, lambda: VectorizeHook().delete_index("books"))

    with pytest.raises(AirflowFailException, match='Index "books" does not exist: it was deleted'):
        run_sensor(make_sensor(receipt, mode))


@BOTH_MODES
@pytest.mark.parametrize("checks", [0, 2])
def test_sensor_deleted_index_with_soft_fail_fails(
    receipt: dict[str, Any], mode: str, checks: int, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    if checks:
        after_check(checks, lambda: VectorizeHook().delete_index("books"))
    else:
        VectorizeHook().delete_index("books")

    with pytest.raises(AirflowFailException, match="does not exist"):
        run_sensor(make_sensor(receipt, mode, soft_fail=True))


@BOTH_MODES
def test_sensor_wrong_token_with_soft_fail_fails_with_the_reason(
    receipt: dict[str, Any], books: LocalVectorize, mode: str, log: Any
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    books.fail("answer", times=None, status=401, code=10000, message="Authentication error")

    with pytest.raises(AirflowFailException, match="Authentication error"):
        run_sensor(make_sensor(receipt, mode, soft_fail=True))


@BOTH_MODES
def test_sensor_timeout_with_soft_fail_logs_what_is_missing(receipt: dict[str, Any], mode: str, log: Any) -> None:
    from airflow.providers.common.compat.sdk import AirflowSkipException

    with pytest.raises(AirflowSkipException):
        run_sensor(make_sensor(receipt, mode, timeout=0.1, soft_fail=True))

    assert receipt["mutation_id"] in log.text
    assert "Skipping the task" in log.text


@BOTH_MODES
def test_sensor_wrong_token_fails_after_one_request(
    receipt: dict[str, Any], books: LocalVectorize, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    books.token = "not-the-token"
    connect(monkeypatch, books)
    books.clear_requests()

    try:
        with pytest.raises(AirflowFailException) as caught:
            run_sensor(make_sensor(receipt, mode))
    finally:
        books.token = "local-token"

    assert "token" in str(caught.value)
    assert "not-the-token" not in str(caught.value)
    assert len(books.requests()) == 1


@BOTH_MODES
def test_sensor_token_revoked_during_the_wait_fails_with_the_reason(
    receipt: dict[str, Any], books: LocalVectorize, mode: str, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    after_check(2, lambda: books.fail("answer", times=None, status=401, code=10000, message="Authentication error"))

    with pytest.raises(AirflowFailException, match="Authentication error"):
        run_sensor(make_sensor(receipt, mode))


TRANSIENT: list[tuple[str, dict[str, Any]]] = [
    ("http_500", {}),
    ("gateway_504_html", {}),
    ("gateway_524_html", {}),
    ("throttle_40041", {}),
    ("rate_limit", {"retry_after": 0}),
    ("cut_before", {}),
    ("cut_during_answer", {}),
    ("not_json", {}),
]


@BOTH_MODES
@pytest.mark.parametrize(("fault", "options"), TRANSIENT, ids=[fault for fault, _ in TRANSIENT])
def test_sensor_transient_failure_continues_the_wait(
    receipt: dict[str, Any],
    books: LocalVectorize,
    mode: str,
    fault: str,
    options: dict[str, Any],
    after_check: AfterCheck,
    log: Any,
) -> None:
    books.fail(fault, operation="info", after=1, times=2, **options)
    after_check(4, books.process)

    run_sensor(make_sensor(receipt, mode))

    assert [request.fault for request in books.requests("info")][:3] == [None, fault, fault]
    assert 'Index "books" could not be checked' in log.text


@BOTH_MODES
def test_sensor_restart_of_the_service_continues_the_wait(
    receipt: dict[str, Any], books: LocalVectorize, mode: str, after_check: AfterCheck
) -> None:
    def restart() -> None:
        books.restart()  # mutations that were held are processed afterwards
        books.process()

    after_check(2, restart)

    run_sensor(make_sensor(receipt, mode))


@BOTH_MODES
def test_sensor_load_hidden_by_another_writer_is_proved_by_a_marker(
    receipt: dict[str, Any], books: LocalVectorize, mode: str, after_check: AfterCheck, log: Any
) -> None:
    books.foreign_mutation("books")
    books.process()
    after_check(5, books.process)  # three checks, the marker, and one check that does not show it

    run_sensor(make_sensor(receipt, mode))

    assert len(books.requests("delete_by_ids")) == 1
    assert "marker" in log.text


@BOTH_MODES
def test_sensor_alternating_watermark_reads_still_succeed(
    receipt: dict[str, Any], books: LocalVectorize, mode: str, after_check: AfterCheck
) -> None:
    def process_and_flap() -> None:
        books.process()
        books.flap("books")

    after_check(1, process_and_flap)

    run_sensor(make_sensor(receipt, mode))

    assert books.count("books") == 10


def test_sensor_samples_deleted_by_another_writer_succeeds_by_marker(
    receipt: dict[str, Any], books: LocalVectorize
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    VectorizeHook().delete_by_ids("books", [sample["id"] for sample in receipt["samples"]])
    books.process()
    task = make_sensor(receipt)

    assert [task.poke({}) for _ in range(4)] == [False] * 4, "the watermark is another writer's and proves nothing"
    books.process()  # the marker
    assert task.poke({}) is True


@BOTH_MODES
def test_sensor_marker_none_sends_no_marker(receipt: dict[str, Any], books: LocalVectorize, mode: str) -> None:
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    books.foreign_mutation("books")
    books.process()

    with pytest.raises(AirflowSensorTimeout):
        run_sensor(make_sensor(receipt, mode, marker="none", timeout=0.3))

    assert not books.requests("delete_by_ids")


@BOTH_MODES
def test_sensor_marker_vector_is_read_back_and_deleted(
    receipt: dict[str, Any], books: LocalVectorize, mode: str, after_check: AfterCheck
) -> None:
    def process_behind_another_writer() -> None:
        books.foreign_mutation("books")  # hides every marker that is a deletion
        books.process()

    process_behind_another_writer()
    after_check(5, process_behind_another_writer)

    run_sensor(make_sensor(receipt, mode, marker="vector"))

    books.process()
    assert books.count("books") == 10, "a marker vector is left over"


@BOTH_MODES
def test_sensor_without_write_permission_sends_one_marker_and_continues(
    receipt: dict[str, Any], books: LocalVectorize, mode: str, after_check: AfterCheck, log: Any
) -> None:
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    books.foreign_mutation("books")
    books.process()
    books.fail("answer", operation="delete_by_ids", times=None, status=403, code=10000, message="Authentication error")

    with pytest.raises(AirflowSensorTimeout):
        run_sensor(make_sensor(receipt, mode, timeout=1.0))

    assert len(books.requests("delete_by_ids")) == 1
    assert log.text.count("No more markers are sent") == 1


def test_sensor_read_back_is_accepted_only_with_proof_read_back(
    receipt: dict[str, Any], books: LocalVectorize, log: Any
) -> None:
    books.foreign_mutation("books")
    books.process()

    assert make_sensor(receipt, marker="none").poke({}) is False
    assert make_sensor(receipt, marker="none", proof="read_back").poke({}) is True
    assert "evidence, not proof" in log.text


def test_sensor_read_back_without_samples_fails(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match="sample vectors"):
        make_sensor(ID, index_name="books", proof="read_back").execute({})


@BOTH_MODES
def test_sensor_recreated_index_fails(
    receipt: dict[str, Any], books: LocalVectorize, mode: str, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    hook.delete_index("books")
    hook.create_index("books", dimensions=32, metric="cosine")
    books.release()
    books.foreign_mutation("books")

    with pytest.raises(AirflowFailException, match="deleted and created again"):
        run_sensor(make_sensor(receipt, mode))


def test_sensor_several_receipts_of_one_index_share_checks_and_a_marker(
    airflow_home: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    receipts = [VectorizeHook().load("books", rows(5, f"{n}.ndjson", first=5 * n)) for n in range(4)]
    books.clear_requests()
    task = make_sensor(receipts)

    assert task.poke({}) is False
    assert [request.operation for request in books.requests()] == ["info"]
    assert task.poke({}) is True
    operations = [request.operation for request in books.requests()]
    assert operations == ["info", "delete_by_ids", "info", *["get_index"] * 3], "one marker proves all"


def test_sensor_receipts_of_several_indexes_are_waited_for_together(
    airflow_home: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    hook.create_index("films", dimensions=32, metric="cosine")
    books.hold()
    receipts = [hook.load(index, rows(5)) for index in ("books", "films")]
    task = make_sensor(receipts)

    books.process("books")
    assert task.poke({}) is False
    books.process("films")
    assert task.poke({}) is True


def test_sensor_bare_id_is_proved_by_its_watermark(receipt: dict[str, Any], books: LocalVectorize) -> None:
    task = make_sensor(receipt["mutation_id"], index_name="books")
    assert task.poke({}) is False
    books.process()
    assert task.poke({}) is True


def test_sensor_bare_id_hidden_by_another_writer_is_proved_by_a_marker(
    receipt: dict[str, Any], books: LocalVectorize
) -> None:
    books.foreign_mutation("books")
    books.process()
    task = make_sensor(receipt["mutation_id"], index_name="books")
    assert [task.poke({}) for _ in range(4)] == [False] * 4
    books.process()
    assert task.poke({}) is True


@pytest.mark.parametrize("write", ["upsert", "insert", "delete_by_ids", "delete_nothing", "create_metadata_index"])
@BOTH_MODES
def test_sensor_accepts_the_return_value_of_each_hook_write(
    airflow_home: Airflow, books: LocalVectorize, write: str, mode: str
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from tests.airflow.conftest import row

    hook = VectorizeHook()
    returned: Any = {
        "upsert": lambda: hook.upsert("books", [row(1)]),
        "insert": lambda: hook.insert("books", [row(1)]).to_dict(),
        "delete_by_ids": lambda: hook.delete_by_ids("books", [f"book-{n}" for n in range(250)]),
        "delete_nothing": lambda: hook.delete_by_ids("books", []),
        "create_metadata_index": lambda: hook.create_metadata_index("books", "shelf", "number"),
    }[write]()

    run_sensor(make_sensor(returned, mode))

    assert len(books.requests("delete_by_ids")) == (3 if write == "delete_by_ids" else 0), "sent a marker"


def test_sensor_operator_as_mutation_stands_for_its_output(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator

    with DAG(dag_id="operator_as_mutation", schedule=None):
        load = VectorizeUpsertOperator(task_id="load", index_name="books", source="x.ndjson")
        wait_for_one = make_sensor(load)
        wait_for_two = make_sensor([load, load], task_id="two")

    assert str(wait_for_one.mutation) == str(load.output)
    assert [str(output) for output in wait_for_two.mutation] == [str(load.output)] * 2
    assert wait_for_one.upstream_task_ids == wait_for_two.upstream_task_ids == {"load"}


ID = "01234567-89ab-4def-8123-456789abcdef"


@pytest.mark.parametrize(
    ("mutation", "index_name", "message"),
    [
        (None, None, "the upstream task returned nothing"),
        ("", "books", "There is no mutation to wait for"),
        ("None", "books", "There is no mutation to wait for"),
        (" ", "books", "There is no mutation to wait for"),
        ("{'mutation_id': 'x'}", "books", "text of a receipt or list"),
        (f"['{ID}']", "books", "text of a receipt or list"),
        ("an-id", "books", "is not a mutation id"),
        (ID, None, "Set index_name"),
        (ID, "None", "Set index_name"),
        ({"vectors": 3}, None, "not a receipt"),
        ({"mutation_id": "None", "index_name": "books"}, None, "There is no mutation to wait for"),
        ({"mutation_id": ID, "index_name": "books"}, "films", 'receipt is of index "books"'),
        ([None], "books", "the upstream task returned nothing"),
        (7, "books", "not int"),
    ],
)
@BOTH_MODES
def test_sensor_invalid_mutation_fails_without_retries(
    airflow_home: Airflow, mutation: Any, index_name: str | None, message: str, mode: str
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match=message):
        make_sensor(mutation, mode, index_name=index_name).execute({})


@BOTH_MODES
@pytest.mark.parametrize("nothing", [[], {"mutation_id": None, "index_name": "books"}, [[], []]])
def test_sensor_nothing_written_succeeds_at_once(airflow_home: Airflow, nothing: Any, mode: str) -> None:
    make_sensor(nothing, mode).execute({})


def test_sensor_reschedule_mode_with_several_mutations_fails(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match="deferrable=True"):
        make_sensor([ID, ID.replace("0", "1")], index_name="books", mode="reschedule").execute({})


def test_sensor_reschedule_mode_fails_only_if_a_marker_is_needed(
    receipt: dict[str, Any], books: LocalVectorize
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    assert make_sensor(receipt, mode="reschedule").poke({}) is False
    books.process()
    assert make_sensor(receipt, mode="reschedule").poke({}) is True
    books.foreign_mutation("books")
    books.process()
    with pytest.raises(AirflowFailException, match="remembers nothing between two pokes"):
        make_sensor(receipt, mode="reschedule").poke({})
    assert not books.requests("delete_by_ids")


def test_sensor_deferral_sends_no_request(receipt: dict[str, Any], books: LocalVectorize) -> None:
    """One request from each of a thousand sensors would use up the request budget."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    books.clear_requests()

    with pytest.raises(TaskDeferred):
        make_sensor(receipt, "deferrable").execute({})

    assert books.requests() == []


def test_sensor_deferral_logs_what_it_waits_for_and_has_a_timeout(receipt: dict[str, Any], log: Any) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    with pytest.raises(TaskDeferred) as caught:
        make_sensor(receipt, "deferrable", timeout=60).execute({})

    assert 60 < caught.value.timeout.total_seconds() < 600, "must end after the trigger's own deadline"
    assert caught.value.trigger.deadline is not None
    assert "10 vectors" in log.text
    assert "A triggerer has to be running" in log.text


def test_sensor_execution_timeout_includes_the_deferral(receipt: dict[str, Any]) -> None:
    from datetime import timedelta
    from time import time

    from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred

    task = make_sensor(receipt, "deferrable", timeout=600, execution_timeout=timedelta(seconds=30))
    with pytest.raises(TaskDeferred) as caught:
        task.execute({})

    assert caught.value.trigger.deadline < time() + 31
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout"):
        task.resume_execution("execute_complete", {"event": {"status": "timeout", "text": "…"}}, {})


def test_sensor_deferrable_defaults_to_the_setting_of_the_deployment() -> None:
    import inspect

    from airflow.providers.common.compat.sdk import conf

    from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

    default = inspect.signature(VectorizeMutationSensor.__init__).parameters["deferrable"].default
    assert default is conf.getboolean("operators", "default_deferrable", fallback=False)


def test_sensor_unknown_trigger_event_fails(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    for event in (None, {}, {"status": "surprise"}):
        with pytest.raises(AirflowFailException, match="unknown event"):
            make_sensor(ID, index_name="books").execute_complete({}, event)


def test_sensor_mutation_label_names_the_index_and_what_was_written(receipt: dict[str, Any]) -> None:
    assert make_sensor(receipt).mutation_label == 'index "books": 10 vectors'
    assert make_sensor([]).mutation_label == "nothing"


@pytest.mark.parametrize("arguments", [{"marker": "vectors"}, {"proof": "quiet"}])
def test_sensor_unknown_option_fails_when_the_dag_is_parsed(airflow_home: Airflow, arguments: dict[str, str]) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    with pytest.raises(ConfigError):
        make_sensor(ID, index_name="books", **arguments)
