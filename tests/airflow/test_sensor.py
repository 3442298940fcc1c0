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
AfterLook = Callable[[int, Callable[[], Any]], None]
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

    options = {"poke_interval": 0.01, "timeout": 60, **options}
    return VectorizeMutationSensor(task_id="wait", mutation=mutation, deferrable=way == "deferrable", **options)


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
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_look: AfterLook
) -> None:
    after_look(3, books.process)

    wait(sensor(receipt, way))

    assert books.count("books") == 10


@BOTH
def test_a_timeout_says_what_was_missing(receipt: dict[str, Any], way: str) -> None:
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    with pytest.raises(AirflowSensorTimeout) as caught:
        wait(sensor(receipt, way, timeout=0.1))

    assert receipt["mutation_id"] in str(caught.value)
    assert "nothing was processed since it was acknowledged" in str(caught.value)


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
    receipt: dict[str, Any], way: str, looks: int, after_look: AfterLook
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    after_look(looks, lambda: VectorizeHook().delete_index("books"))

    with pytest.raises(AirflowFailException, match='Index "books" was deleted'):
        wait(sensor(receipt, way))


@BOTH
@pytest.mark.parametrize("looks", [0, 2])
def test_what_will_never_be_visible_skips_with_soft_fail(
    receipt: dict[str, Any], way: str, looks: int, after_look: AfterLook
) -> None:
    from airflow.providers.common.compat.sdk import AirflowSkipException

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    if looks:
        after_look(looks, lambda: VectorizeHook().delete_index("books"))
    else:
        VectorizeHook().delete_index("books")

    with pytest.raises(AirflowSkipException):
        wait(sensor(receipt, way, soft_fail=True))


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
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_look: AfterLook
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    after_look(2, lambda: books.fail("answer", times=None, status=401, code=10000, message="Authentication error"))

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
    after_look: AfterLook,
    log: Any,
) -> None:
    books.fail(fault, operation="info", after=1, times=2, **options)
    after_look(4, books.process)

    wait(sensor(receipt, way))

    assert [one.fault for one in books.requests("info")][:3] == [None, fault, fault]
    assert 'Index "books" could not be looked at' in log.text


@BOTH
def test_a_restart_of_the_service_does_not_end_the_wait(
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_look: AfterLook
) -> None:
    def restart() -> None:
        books.restart()  # what was held is folded after it
        books.process()

    after_look(2, restart)

    wait(sensor(receipt, way))


@BOTH
def test_reads_that_flap_are_not_believed_until_they_agree(
    receipt: dict[str, Any], books: LocalVectorize, way: str, after_look: AfterLook
) -> None:
    def process_and_flap() -> None:
        books.foreign_mutation("books")  # so that the watermark is not the load's
        books.process()
        books.flap("books")

    after_look(1, process_and_flap)
    after_look(4, books.steady)

    wait(sensor(receipt, way))

    assert len(books.requests("info")) >= 5


def test_a_foreign_watermark_alone_is_no_proof(receipt: dict[str, Any], books: LocalVectorize) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    VectorizeHook().delete_by_ids("books", [sample["id"] for sample in receipt["samples"]])
    books.process()

    task = sensor(receipt)

    assert task.poke({}) is False  # the watermark passed it, but somebody deleted the vectors it is proved by
    assert "0 of 3 reads show its sample vectors as they were sent" in task._last.text


def test_several_receipts_of_one_index_need_one_look_together(
    airflow_home: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    receipts = [VectorizeHook().load("books", rows(5, f"{n}.ndjson", first=5 * n)) for n in range(4)]
    books.clear_requests()

    assert sensor(receipts).poke({}) is True

    assert [one.operation for one in books.requests()] == ["info", *["get_by_ids"] * 3]


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


def test_a_bare_id_is_inferred_from_two_later_batches(receipt: dict[str, Any], books: LocalVectorize, log: Any) -> None:
    task = sensor(receipt["mutation_id"], index_name="books")
    assert task.poke({}) is False
    books.foreign_mutation("books")
    books.process()
    assert task.poke({}) is False  # one later batch could have been running when the id was acknowledged
    books.shift_clock(2)
    books.foreign_mutation("books")
    books.process()

    assert task.poke({}) is True
    assert "inferred" in log.text


@pytest.mark.parametrize(
    ("mutation", "index_name", "sentence"),
    [
        (None, None, "the upstream task returned none"),
        ("", "books", "the upstream task returned none"),
        ([], "books", "the list is empty"),
        ("an-id", None, "give index_name too"),
        ({"vectors": 3}, None, "not a receipt"),
        ([], None, "the list is empty"),
        (7, "books", "not int"),
    ],
)
@BOTH
def test_what_cannot_be_waited_for_is_refused_in_a_sentence(
    airflow_home: Airflow, mutation: Any, index_name: str | None, sentence: str, way: str
) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    with pytest.raises(ConfigError, match=sentence):
        sensor(mutation, way, index_name=index_name).execute({})


def test_reschedule_mode_refuses_bare_ids_because_it_forgets(airflow_home: Airflow) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    with pytest.raises(ConfigError, match="deferrable=True"):
        sensor("an-id", index_name="books", mode="reschedule").execute({})


def test_it_defers_without_a_request_because_a_thousand_would_spend_the_budget(
    receipt: dict[str, Any], books: LocalVectorize
) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    books.clear_requests()

    with pytest.raises(TaskDeferred):
        sensor(receipt, "deferrable").execute({})

    assert books.requests() == []


def test_it_defers_without_a_timeout_of_airflows_own(receipt: dict[str, Any]) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    with pytest.raises(TaskDeferred) as caught:
        sensor(receipt, "deferrable", timeout=60).execute({})

    assert caught.value.timeout is None  # Airflow would not let a retry, nor the text of what was missing, through
    assert caught.value.trigger.deadline is not None


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
            sensor("an-id", index_name="books").execute_complete({}, event)
