"""Tests of the trigger that watches an index: it fires once for each change, and nothing ends it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import DIMENSIONS
from tests.airflow.runs import Airflow, Log
from tests.airflow.test_trigger import from_row, make_trigger
from tests.airflow.watchers import AfterCheck, events_until, make_watcher, no_handover, write  # noqa: F401 - a fixture


def test_watcher_restored_from_its_row_is_unchanged(airflow_home: Airflow) -> None:
    trigger = make_watcher(vectorize_conn_id="other", quiet_for=5, poll_interval=7, max_wait=9)

    assert from_row(trigger.serialize()).serialize() == trigger.serialize()


def test_watcher_with_equal_arguments_has_an_equal_hash(airflow_home: Airflow) -> None:
    """Airflow identifies watchers by this hash, at every parse of the DAG."""
    from airflow_provider_vectorize.triggers.index import BaseEventTrigger

    if not hasattr(BaseEventTrigger, "hash"):
        pytest.skip("Airflow 2 has no watchers")
    first, second, other = (BaseEventTrigger.hash(*make_watcher(quiet_for=q).serialize()) for q in (120, 120.0, 60))

    assert first == second != other


@pytest.mark.parametrize("argument", ["quiet_for", "poll_interval", "max_wait"])
@pytest.mark.parametrize("value", [0, -1, "soon", None])
def test_watcher_with_a_wrong_argument_fails_when_the_dag_is_parsed(
    airflow_home: Airflow, argument: str, value: Any
) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    with pytest.raises(ConfigError, match=argument):
        make_watcher(**{argument: value})


def test_watcher_import_loads_no_heavy_modules(airflow_home: Airflow) -> None:
    code = "import sys, airflow_provider_vectorize.triggers.index; print(*sys.modules)"

    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)

    package = "airflow_provider_vectorize."
    loaded = {name.split(".")[1] for name in process.stdout.split() if name.startswith(package)}
    assert "triggers" in loaded
    assert loaded.isdisjoint({"api", "hooks", "load", "plan", "rows", "sources", "storage", "visibility"})


def test_watcher_write_from_outside_fires_once(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    after_check(3, write(books))

    (event,) = events_until(after_check, 60, make_watcher())

    assert {request.operation for request in books.requests()} == {"info"}
    assert len(books.requests()) <= 61, "a check takes one request"
    assert (event["index_name"], event["vectorize_conn_id"]) == ("books", "vectorize_default")
    assert event["mutation_id"]
    assert event["processed_at"] > "2026"
    assert event["vector_count"] == 0
    assert event["quiet"] is True
    assert (event["previous_mutation_id"], event["previous_processed_at"]) == (None, None)


def test_watcher_second_event_names_the_first_as_previous(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    after_check(3, write(books))
    after_check(60, write(books))

    first, second = events_until(after_check, 120, make_watcher())

    assert second["previous_mutation_id"] == first["mutation_id"] != second["mutation_id"]
    assert second["previous_processed_at"] == first["processed_at"] < second["processed_at"]


def test_watcher_many_writes_fire_once_after_the_last(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    mutations: list[str] = []
    for check in range(3, 40):
        after_check(check, lambda: mutations.extend(books.foreign_mutation("books")))

    (event,) = events_until(after_check, 120, make_watcher(quiet_for=0.4))

    assert event["mutation_id"] == mutations[-1]


def test_watcher_of_an_index_that_is_never_quiet_fires_after_max_wait(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    for check in range(3, 60):
        after_check(check, write(books))

    first, *_ = events_until(after_check, 60, make_watcher(quiet_for=1_000, max_wait=0.2))

    assert first["quiet"] is False


def test_watcher_of_an_index_that_is_never_quiet_waits_before_max_wait(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    for check in range(3, 40):
        after_check(check, write(books))

    assert events_until(after_check, 40, make_watcher(quiet_for=1_000)) == []


def test_watcher_of_a_written_index_does_not_fire_at_its_start(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    books.foreign_mutation("books")

    assert events_until(after_check, 40, make_watcher()) == []


@pytest.mark.parametrize("flap_from", [1, 5])
def test_watcher_flapping_replicas_fire_once(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck, flap_from: int
) -> None:
    books.foreign_mutation("books")
    mutations: list[str] = []
    after_check(flap_from, books.flap)
    after_check(flap_from + 2, lambda: mutations.extend(books.foreign_mutation("books")))

    (event,) = events_until(after_check, 120, make_watcher())

    assert event["mutation_id"] == mutations[0]


def test_watcher_waits_for_an_index_that_does_not_exist_yet(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck, log: Log
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    after_check(3, lambda: hook.create_index("films", dimensions=DIMENSIONS, metric="cosine"))
    after_check(5, write(books, "films"))

    (event,) = events_until(after_check, 60, make_watcher("films"))

    assert event["index_name"] == "films"
    assert log.text.count('Index "films" cannot be watched at the moment. It does not exist') == 1
    assert 'Index "films" is watched again.' in log.text


def test_watcher_index_that_is_created_again_fires(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    books.foreign_mutation("books")
    hook = VectorizeHook()
    after_check(3, lambda: hook.delete_index("books"))
    after_check(5, lambda: hook.create_index("books", dimensions=DIMENSIONS, metric="cosine"))
    after_check(7, write(books))

    (event,) = events_until(after_check, 60, make_watcher())

    assert event["quiet"] is True


def test_watcher_change_of_an_index_that_is_deleted_before_it_is_quiet_does_not_fire(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    after_check(3, write(books))
    after_check(5, lambda: VectorizeHook().delete_index("books"))

    assert events_until(after_check, 60, make_watcher(quiet_for=0.2)) == []


def test_watcher_change_of_an_earlier_index_with_the_same_name_does_not_fire(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    mutations: list[str] = []
    after_check(3, write(books))
    after_check(5, lambda: hook.delete_index("books"))
    after_check(6, lambda: hook.create_index("books", dimensions=DIMENSIONS, metric="cosine"))
    after_check(60, lambda: mutations.extend(books.foreign_mutation("books")))

    (event,) = events_until(after_check, 140, make_watcher(quiet_for=0.2))

    assert event["mutation_id"] == mutations[0]


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "answer", "status": 401, "code": 10000, "message": "Authentication error"},
        {"fault": "http_500"},
        {"fault": "cut_before_apply"},
    ],
)
def test_watcher_continues_after_an_error(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck, log: Log, fault: dict[str, Any]
) -> None:
    books.fail(times=3, operation="info", **fault)
    after_check(6, write(books))

    (event,) = events_until(after_check, 80, make_watcher())

    assert event["index_name"] == "books"
    assert log.text.count('Index "books" cannot be watched at the moment') == 1
    assert books.token not in log.text


@pytest.mark.parametrize("broken", [None, "f" * 32], ids=["missing", "wrong account"])
def test_watcher_with_a_broken_connection_continues_when_it_is_corrected(
    airflow_home: Airflow,
    books: LocalVectorize,
    after_check: AfterCheck,
    monkeypatch: pytest.MonkeyPatch,
    log: Log,
    broken: str | None,
) -> None:
    from airflow_provider_vectorize.triggers import poll

    real, calls = poll.get_async_connection, []

    async def get_connection(conn_id: str) -> Any:
        calls.append(conn_id)
        if len(calls) == 3:
            monkeypatch.setenv("AIRFLOW_CONN_LATER", json.dumps(books.connection))
        return await real(conn_id)

    if broken:
        wrong = books.connection
        wrong["extra"] |= {"account_id": broken}
        monkeypatch.setenv("AIRFLOW_CONN_LATER", json.dumps(wrong))
    monkeypatch.setattr(poll, "get_async_connection", get_connection)
    after_check(3, write(books))

    (event,) = events_until(after_check, 60, make_watcher(vectorize_conn_id="later"))

    assert event["vectorize_conn_id"] == "later"
    assert log.text.count('Index "books" cannot be watched at the moment') == 1


def test_watchers_and_sensors_of_an_index_share_one_poll(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.visibility.waits import waits_for

    waits = [
        wait.to_dict() for wait in waits_for(VectorizeHook().upsert("books", [{"id": "a", "values": [1.0] * 32}]), None)
    ]
    books.clear_requests()
    after_check(5, write(books))
    sensors: list[dict[str, Any]] = []

    class Sensor:
        async def run(self) -> Any:
            async for event in make_trigger(waits).run():
                sensors.append(event.payload)
            await asyncio.Event().wait()
            yield

    watchers = [make_watcher(quiet_for=0.05 + number / 100) for number in range(20)]
    events = events_until(after_check, 60, Sensor(), *watchers)

    assert len(events) == 20
    assert [sensor["status"] for sensor in sensors] == ["visible"]
    assert len(books.requests("info")) <= 61
    assert not books.requests("delete_by_ids"), "a watcher sends no markers"


def test_watcher_joins_another_poll_when_its_poll_is_cancelled(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    async def run() -> list[Any]:
        loop, checked, done = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        after_check(2, lambda: loop.call_soon_threadsafe(checked.set))
        after_check(5, write(books))
        after_check(60, lambda: loop.call_soon_threadsafe(done.set))
        payloads: list[Any] = []

        async def collect() -> None:
            async for event in make_watcher().run():
                payloads.append(event.payload)

        running = asyncio.create_task(collect())
        await asyncio.wait_for(checked.wait(), 120)
        (poll,) = (task for task in asyncio.all_tasks() if "poll of index books" in task.get_name())
        poll.cancel()
        await asyncio.wait_for(done.wait(), 120)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return payloads

    assert len(asyncio.run(run())) == 1


def test_watcher_row_contains_no_secret(airflow_home: Airflow, books: LocalVectorize) -> None:
    text = json.dumps(make_watcher().serialize()) + repr(make_watcher())

    assert books.token not in text
    assert books.account_id not in text
