"""The sensor: what it waits for, what it says, and how it ends."""

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
BOTH = pytest.mark.parametrize("way", ["poke", "deferrable"])


@pytest.fixture
def receipt(airflow_home: Airflow, books: LocalVectorize, rows: Rows) -> dict[str, Any]:
    """Of a load of ten rows that Vectorize has not processed yet."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    books.hold()
    return VectorizeHook().load("books", rows(10))


def sensor(mutation: Any, way: str = "poke", **options: Any) -> Any:
    """A sensor that looks often."""
    from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

    options = {"task_id": "wait", "poke_interval": 0.01, "timeout": 60, **options}
    return VectorizeMutationSensor(mutation=mutation, deferrable=way == "deferrable", **options)


def wait(task: Any) -> None:
    """What Airflow does with a sensor: execute it, and, if it defers, run the trigger and resume it."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    try:
        task.execute({})
    except TaskDeferred as deferred:
        event = asyncio.run(_event(deferred.trigger))
        fresh = sensor(task.mutation, "deferrable", timeout=task.timeout)
        fresh.soft_fail, fresh.never_fail = task.soft_fail, task.never_fail
        fresh.resume_execution(deferred.method_name, {"event": event}, {})


async def _event(trigger: Any) -> Any:
    return (await anext(aiter(trigger.run()))).payload


@BOTH
def test_it_ends_when_the_load_is_processed(
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_check: AfterCheck
) -> None:
    after_check(3, books.process)

    wait(sensor(receipt, way))

    assert books.count("books") == 10


@BOTH
def test_a_timeout_says_what_was_missing(receipt: dict[str, Any], way: str) -> None:
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    with pytest.raises(AirflowSensorTimeout) as caught:
        wait(sensor(receipt, way, timeout=0.1))

    assert receipt["mutation_id"] in str(caught.value)
    assert "Not visible yet: 10 vectors" in str(caught.value)
    assert "has not processed any mutation yet" in str(caught.value)


@BOTH
def test_a_timeout_is_not_tried_again(airflow: Airflow, books: LocalVectorize, rows: Rows, way: str) -> None:
    books.hold()

    run = airflow.run(f"wait_in_vain_{way}", {"source": rows(10)})

    assert run.states() == {"load": "success", "wait": "failed"}
    assert run.tries("wait") == 1
    assert "AirflowSensorTimeout" in airflow.log.text


@BOTH
def test_a_timeout_skips_with_soft_fail(airflow: Airflow, books: LocalVectorize, rows: Rows, way: str) -> None:
    books.hold()

    run = airflow.run(f"wait_softly_{way}", {"source": rows(10)})

    assert run.states() == {"load": "success", "wait": "skipped"}


@BOTH
@pytest.mark.parametrize("looks", [1, 2])
def test_an_index_that_is_deleted_while_one_waits_fails_at_once(
    receipt: dict[str, Any], way: str, looks: int, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    after_check(looks, lambda: VectorizeHook().delete_index("books"))

    with pytest.raises(AirflowFailException, match='Index "books" does not exist: it was deleted'):
        wait(sensor(receipt, way))


@BOTH
@pytest.mark.parametrize("looks", [0, 2])
def test_sensor_with_soft_fail_and_deleted_index_fails(
    receipt: dict[str, Any], way: str, looks: int, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    if looks:
        after_check(looks, lambda: VectorizeHook().delete_index("books"))
    else:
        VectorizeHook().delete_index("books")

    with pytest.raises(AirflowFailException, match="does not exist"):
        wait(sensor(receipt, way, soft_fail=True))


@BOTH
def test_sensor_with_soft_fail_and_wrong_token_fails_and_says_why(
    receipt: dict[str, Any], books: LocalVectorize, way: str, log: Any
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    books.fail("answer", times=None, status=401, code=10000, message="Authentication error")

    with pytest.raises(AirflowFailException, match="Authentication error"):
        wait(sensor(receipt, way, soft_fail=True))


@BOTH
def test_sensor_with_soft_fail_and_timeout_skips_and_logs_what_is_missing(
    receipt: dict[str, Any], way: str, log: Any
) -> None:
    from airflow.providers.common.compat.sdk import AirflowSkipException

    with pytest.raises(AirflowSkipException):
        wait(sensor(receipt, way, timeout=0.1, soft_fail=True))

    assert receipt["mutation_id"] in log.text
    assert "Skipping the task" in log.text


@BOTH
def test_a_wrong_token_fails_in_one_sentence_after_one_request(
    receipt: dict[str, Any], books: LocalVectorize, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    books.token = "not-the-token"
    connect(monkeypatch, books)
    books.clear_requests()

    try:
        with pytest.raises(AirflowFailException) as caught:
            wait(sensor(receipt, way))
    finally:
        books.token = "local-token"

    assert "token" in str(caught.value)
    assert "not-the-token" not in str(caught.value)
    assert len(books.requests()) == 1


@BOTH
def test_a_token_that_is_revoked_while_one_waits_fails_with_the_same_sentence(
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    after_check(2, lambda: books.fail("answer", times=None, status=401, code=10000, message="Authentication error"))

    with pytest.raises(AirflowFailException, match="Authentication error"):
        wait(sensor(receipt, way))


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


@BOTH
@pytest.mark.parametrize(("fault", "options"), TRANSIENT, ids=[fault for fault, _ in TRANSIENT])
def test_a_passing_failure_of_the_api_does_not_end_the_wait(
    receipt: dict[str, Any],
    books: LocalVectorize,
    way: str,
    fault: str,
    options: dict[str, Any],
    after_check: AfterCheck,
    log: Any,
) -> None:
    books.fail(fault, operation="info", after=1, times=2, **options)
    after_check(4, books.process)

    wait(sensor(receipt, way))

    assert [one.fault for one in books.requests("info")][:3] == [None, fault, fault]
    assert 'Index "books" could not be checked' in log.text


@BOTH
def test_a_restart_of_the_service_does_not_end_the_wait(
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_check: AfterCheck
) -> None:
    def restart() -> None:
        books.restart()  # what was held is folded after it
        books.process()

    after_check(2, restart)

    wait(sensor(receipt, way))


@BOTH
def test_marker_proves_a_load_hidden_by_another_writer(
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_check: AfterCheck, log: Any
) -> None:
    books.foreign_mutation("books")
    books.process()
    after_check(5, books.process)  # three checks, the marker, and a check that does not show it

    wait(sensor(receipt, way))

    assert len(books.requests("delete_by_ids")) == 1
    assert "marker" in log.text


@BOTH
def test_flapping_reads_of_a_watermark_do_not_delay_or_deceive(
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_check: AfterCheck
) -> None:
    def process_and_flap() -> None:
        books.process()
        books.flap("books")

    after_check(1, process_and_flap)

    wait(sensor(receipt, way))

    assert books.count("books") == 10


def test_foreign_deletion_of_the_samples_does_not_hang_the_sensor(
    receipt: dict[str, Any], books: LocalVectorize
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    VectorizeHook().delete_by_ids("books", [sample["id"] for sample in receipt["samples"]])
    books.process()
    task = sensor(receipt)

    assert [task.poke({}) for _ in range(4)] == [False] * 4, "the watermark is not the load's, and proves nothing"
    books.process()  # the marker
    assert task.poke({}) is True


@BOTH
def test_marker_none_sends_nothing(receipt: dict[str, Any], books: LocalVectorize, way: str) -> None:
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    books.foreign_mutation("books")
    books.process()

    with pytest.raises(AirflowSensorTimeout):
        wait(sensor(receipt, way, marker="none", timeout=0.3))

    assert not books.requests("delete_by_ids")


@BOTH
def test_marker_vector_is_read_back_and_deleted(
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_check: AfterCheck
) -> None:
    def process_with_a_later_writer() -> None:
        books.foreign_mutation("books")  # hides every deletion
        books.process()

    process_with_a_later_writer()
    after_check(5, process_with_a_later_writer)

    wait(sensor(receipt, way, marker="vector"))

    books.process()
    assert books.count("books") == 10, "no vector of a marker is left"


@BOTH
def test_token_without_write_permission_sends_one_marker_and_goes_on(
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_check: AfterCheck, log: Any
) -> None:
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    books.foreign_mutation("books")
    books.process()
    books.fail("answer", operation="delete_by_ids", times=None, status=403, code=10000, message="Authentication error")

    with pytest.raises(AirflowSensorTimeout):
        wait(sensor(receipt, way, timeout=1.0))

    assert len(books.requests("delete_by_ids")) == 1
    assert log.text.count("No more markers are sent") == 1


def test_read_back_is_opt_in_evidence(receipt: dict[str, Any], books: LocalVectorize, log: Any) -> None:
    books.foreign_mutation("books")
    books.process()

    assert sensor(receipt, marker="none").poke({}) is False
    assert sensor(receipt, marker="none", proof="read_back").poke({}) is True
    assert "evidence, not proof" in log.text


def test_read_back_without_samples_is_refused(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match="sample vectors"):
        sensor(ID, index_name="books", proof="read_back").execute({})


@BOTH
def test_recreated_index_fails_the_sensor(
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    hook.delete_index("books")
    hook.create_index("books", dimensions=32, metric="cosine")
    books.release()
    books.foreign_mutation("books")

    with pytest.raises(AirflowFailException, match="deleted and created again"):
        wait(sensor(receipt, way))


def test_several_receipts_of_one_index_need_one_check_together(
    airflow_home: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    receipts = [VectorizeHook().load("books", rows(5, f"{n}.ndjson", first=5 * n)) for n in range(4)]
    books.clear_requests()
    task = sensor(receipts)

    assert task.poke({}) is False
    assert [one.operation for one in books.requests()] == ["info"]
    assert task.poke({}) is True
    operations = [one.operation for one in books.requests()]
    assert operations == ["info", "delete_by_ids", "info", *["get_index"] * 3], "one marker proves all"


def test_receipts_of_several_indexes_are_waited_for_together(
    airflow_home: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    hook.create_index("films", dimensions=32, metric="cosine")
    books.hold()
    receipts = [hook.load(index, rows(5)) for index in ("books", "films")]
    task = sensor(receipts)

    books.process("books")
    assert task.poke({}) is False
    books.process("films")
    assert task.poke({}) is True


def test_bare_id_is_proved_by_its_watermark(receipt: dict[str, Any], books: LocalVectorize) -> None:
    task = sensor(receipt["mutation_id"], index_name="books")
    assert task.poke({}) is False
    books.process()
    assert task.poke({}) is True


def test_bare_id_hidden_by_another_writer_is_proved_by_a_marker(receipt: dict[str, Any], books: LocalVectorize) -> None:
    books.foreign_mutation("books")
    books.process()
    task = sensor(receipt["mutation_id"], index_name="books")
    assert [task.poke({}) for _ in range(4)] == [False] * 4
    books.process()
    assert task.poke({}) is True


@pytest.mark.parametrize("write", ["upsert", "insert", "delete_by_ids", "delete_nothing", "create_metadata_index"])
@BOTH
def test_whatever_a_write_of_the_hook_returns_can_be_waited_for(
    airflow_home: Airflow, books: LocalVectorize, write: str, way: str
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

    wait(sensor(returned, way))

    assert len(books.requests("delete_by_ids")) == (3 if write == "delete_by_ids" else 0), "no marker"


def test_operator_as_mutation_means_its_output(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator

    with DAG(dag_id="operator_as_mutation", schedule=None):
        load = VectorizeUpsertOperator(task_id="load", index_name="books", source="x.ndjson")
        wait_for_one = sensor(load)
        wait_for_two = sensor([load, load], task_id="two")

    assert str(wait_for_one.mutation) == str(load.output)
    assert [str(one) for one in wait_for_two.mutation] == [str(load.output)] * 2
    assert wait_for_one.upstream_task_ids == wait_for_two.upstream_task_ids == {"load"}


ID = "01234567-89ab-4def-8123-456789abcdef"


@pytest.mark.parametrize(
    ("mutation", "index_name", "sentence"),
    [
        (None, None, "the upstream task returned nothing"),
        ("", "books", "There is no mutation to wait for"),
        ("None", "books", "There is no mutation to wait for"),
        (" ", "books", "There is no mutation to wait for"),
        ("{'mutation_id': 'x'}", "books", "text of a receipt or list"),
        (f"['{ID}']", "books", "text of a receipt or list"),
        ("an-id", "books", "is not a mutation id"),
        (ID, None, "set index_name"),
        (ID, "None", "set index_name"),
        ({"vectors": 3}, None, "not a receipt"),
        ({"mutation_id": "None", "index_name": "books"}, None, "There is no mutation to wait for"),
        ({"mutation_id": ID, "index_name": "books"}, "films", 'receipt is of index "books"'),
        ([None], "books", "the upstream task returned nothing"),
        (7, "books", "not int"),
    ],
)
@BOTH
def test_what_cannot_be_waited_for_is_refused_without_retries(
    airflow_home: Airflow, mutation: Any, index_name: str | None, sentence: str, way: str
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match=sentence):
        sensor(mutation, way, index_name=index_name).execute({})


@BOTH
@pytest.mark.parametrize("nothing", [[], {"mutation_id": None, "index_name": "books"}, [[], []]])
def test_nothing_written_succeeds_at_once(airflow_home: Airflow, nothing: Any, way: str) -> None:
    sensor(nothing, way).execute({})


def test_reschedule_mode_refuses_several_mutations_because_it_forgets(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match="deferrable=True"):
        sensor([ID, ID.replace("0", "1")], index_name="books", mode="reschedule").execute({})


def test_reschedule_mode_succeeds_without_a_marker_and_says_where_one_is_needed(
    receipt: dict[str, Any], books: LocalVectorize
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    assert sensor(receipt, mode="reschedule").poke({}) is False
    books.process()
    assert sensor(receipt, mode="reschedule").poke({}) is True
    books.foreign_mutation("books")
    books.process()
    with pytest.raises(AirflowFailException, match="remembers nothing between two pokes"):
        sensor(receipt, mode="reschedule").poke({})
    assert not books.requests("delete_by_ids")


def test_it_defers_without_a_request_because_a_thousand_would_spend_the_budget(
    receipt: dict[str, Any], books: LocalVectorize
) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    books.clear_requests()

    with pytest.raises(TaskDeferred):
        sensor(receipt, "deferrable").execute({})

    assert books.requests() == []


def test_deferral_says_what_it_waits_for_and_ends_without_a_triggerer(receipt: dict[str, Any], log: Any) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    with pytest.raises(TaskDeferred) as caught:
        sensor(receipt, "deferrable", timeout=60).execute({})

    assert 60 < caught.value.timeout.total_seconds() < 600, "a safety net beyond the trigger's own deadline"
    assert caught.value.trigger.deadline is not None
    assert "10 vectors" in log.text
    assert "A triggerer has to be running" in log.text


def test_execution_timeout_counts_while_deferred(receipt: dict[str, Any]) -> None:
    from datetime import timedelta
    from time import time

    from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred

    task = sensor(receipt, "deferrable", timeout=600, execution_timeout=timedelta(seconds=30))
    with pytest.raises(TaskDeferred) as caught:
        task.execute({})

    assert caught.value.trigger.deadline < time() + 31
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout"):
        task.resume_execution("execute_complete", {"event": {"status": "timeout", "text": "…"}}, {})


def test_the_deployments_setting_makes_it_deferrable() -> None:
    import inspect

    from airflow.providers.common.compat.sdk import conf

    from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

    default = inspect.signature(VectorizeMutationSensor.__init__).parameters["deferrable"].default
    assert default is conf.getboolean("operators", "default_deferrable", fallback=False)


def test_an_unknown_event_of_the_trigger_fails(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    for event in (None, {}, {"status": "surprise"}):
        with pytest.raises(AirflowFailException, match="unknown event"):
            sensor(ID, index_name="books").execute_complete({}, event)


def test_mapped_sensor_is_named_by_what_it_waits_for(receipt: dict[str, Any]) -> None:
    assert sensor(receipt).mutation_label == 'index "books": 10 vectors'
    assert sensor([]).mutation_label == "nothing"


@pytest.mark.parametrize("wrong", [{"marker": "vectors"}, {"proof": "quiet"}])
def test_wrong_word_is_refused_when_the_dag_is_parsed(airflow_home: Airflow, wrong: dict[str, str]) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    with pytest.raises(ConfigError):
        sensor(ID, index_name="books", **wrong)
