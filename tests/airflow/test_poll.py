"""Tests of shared polls: the requests of many triggers in one triggerer, and their isolation from each other."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import DIMENSIONS, connect, row
from tests.airflow.runs import Airflow, Log
from tests.airflow.test_trigger import events, from_row, make_trigger

AfterCheck = Callable[[int, Callable[[], Any]], None]
Waits = list[dict[str, Any]]


@pytest.fixture
def held(airflow_home: Airflow, books: LocalVectorize) -> LocalVectorize:
    """A local Vectorize that processes nothing until the test releases it."""
    books.hold()
    return books


def write_vectors(count: int, *, first: int = 0, index: str = "books") -> list[Waits]:
    """Write vectors, one per request. Return the waits of each request."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.visibility.waits import waits_for

    hook, loads = VectorizeHook(), []
    for number in range(first, first + count):
        mutation = hook.upsert(index, [row(number)])
        loads.append([wait.to_dict() for wait in waits_for(mutation, None)])
    return loads


async def all_events(triggers: list[Any]) -> list[dict[str, Any]]:
    results = await asyncio.gather(*(events(trigger) for trigger in triggers))
    return [event for trigger_events in results for event in trigger_events]


def statuses(events: list[dict[str, Any]]) -> set[str]:
    return {event["status"] for event in events}


def test_poll_of_two_hundred_triggers_sends_one_request_per_interval(
    held: LocalVectorize, after_check: AfterCheck
) -> None:
    loads = write_vectors(200)
    held.clear_requests()
    after_check(10, held.release)

    results = asyncio.run(all_events([make_trigger(waits, poke_interval=0.1) for waits in loads]))

    assert statuses(results) == {"visible"}
    assert len(results) == 200
    assert 11 <= len(held.requests("info")) <= 18
    assert len(held.requests("delete_by_ids")) == 1, (
        "the watermark proves the last load, and one marker proves the rest"
    )


def test_poll_of_two_hundred_hidden_mutations_sends_one_marker(held: LocalVectorize, after_check: AfterCheck) -> None:
    loads = write_vectors(200)
    held.foreign_mutation("books")
    held.clear_requests()
    after_check(5, held.release)

    results = asyncio.run(all_events([make_trigger(waits, poke_interval=0.1) for waits in loads]))

    assert statuses(results) == {"visible"}
    assert len(held.requests("info")) <= 13
    assert len(held.requests("delete_by_ids")) == 1


def test_poll_each_index_and_connection_has_its_own(
    held: LocalVectorize, after_check: AfterCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    VectorizeHook().create_index("films", dimensions=DIMENSIONS, metric="cosine")
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(held.connection))
    books, films = write_vectors(10), write_vectors(10, index="films")
    held.clear_requests()
    after_check(9, held.release)

    waiting = [make_trigger([*book, *film]) for book, film in zip(books, films, strict=True)]
    # The last mutation of a job needs no marker. Two connections that send markers at once would hide each other's.
    results = asyncio.run(all_events([*waiting, make_trigger(books[-1], vectorize_conn_id="other")]))

    assert statuses(results) == {"visible"}
    checked_indexes = {request.path.split("/")[-2] for request in held.requests("info")}
    assert checked_indexes == {"books", "films"}
    assert len(held.requests("info")) <= 9 + 12


def test_poll_uses_the_shortest_interval_of_its_waiters(held: LocalVectorize, after_check: AfterCheck) -> None:
    (waits,) = write_vectors(1)
    after_check(5, held.release)

    results = asyncio.run(
        all_events([make_trigger(waits, poke_interval=3600), make_trigger(waits, poke_interval=0.01)])
    )

    assert statuses(results) == {"visible"}


def test_poll_continues_after_one_trigger_is_cancelled(held: LocalVectorize, after_check: AfterCheck) -> None:
    loads = write_vectors(3)

    async def run() -> list[dict[str, Any]]:
        loop, checked = asyncio.get_running_loop(), asyncio.Event()
        after_check(2, lambda: loop.call_soon_threadsafe(checked.set))
        after_check(4, held.release)
        first, *others = (asyncio.create_task(events(make_trigger(waits))) for waits in loads)
        await checked.wait()
        first.cancel()
        assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], asyncio.CancelledError)
        return [event for trigger_events in await asyncio.gather(*others) for event in trigger_events]

    assert statuses(asyncio.run(run())) == {"visible"}


def test_poll_that_is_cancelled_is_restarted_by_its_waiters(held: LocalVectorize, after_check: AfterCheck) -> None:
    loads = write_vectors(3)

    async def run() -> list[dict[str, Any]]:
        loop, checked = asyncio.get_running_loop(), asyncio.Event()
        after_check(2, lambda: loop.call_soon_threadsafe(checked.set))
        after_check(4, held.release)
        waiting = asyncio.create_task(all_events([make_trigger(waits) for waits in loads]))
        await checked.wait()
        (poll,) = (task for task in asyncio.all_tasks() if "poll of index books" in task.get_name())
        poll.cancel()
        return await waiting

    assert statuses(asyncio.run(run())) == {"visible"}


def test_poll_without_waiters_ends(held: LocalVectorize) -> None:
    (waits,) = write_vectors(1)
    held.release()

    async def run() -> None:
        await events(make_trigger(waits))
        polls = [task for task in asyncio.all_tasks() if "poll of index" in task.get_name()]
        await asyncio.wait_for(asyncio.gather(*polls), 30)

    asyncio.run(run())
    assert len(held.requests("info")) == 1


def test_poll_after_a_restart_of_the_triggerer_proves_all_mutations(
    held: LocalVectorize, after_check: AfterCheck
) -> None:
    loads = write_vectors(50)
    waiting = [make_trigger(waits) for waits in loads]

    async def until_interrupted() -> None:
        loop, checked = asyncio.get_running_loop(), asyncio.Event()
        after_check(3, lambda: loop.call_soon_threadsafe(checked.set))
        running = asyncio.create_task(all_events(waiting))
        await checked.wait()
        running.cancel()

    asyncio.run(until_interrupted())
    held.release()

    assert statuses(asyncio.run(all_events([from_row(trigger.serialize()) for trigger in waiting]))) == {"visible"}


def test_poll_refused_credentials_end_all_waits_after_one_request(held: LocalVectorize) -> None:
    loads = write_vectors(20)
    held.clear_requests()
    held.fail("answer", times=None, status=401, code=10000, message="Authentication error")

    async def run() -> list[dict[str, Any]]:
        return await all_events([make_trigger(waits) for waits in loads])

    results = asyncio.run(run())

    assert statuses(results) == {"error"}
    assert all("Authentication error" in event["text"] for event in results)
    assert len(held.requests()) == 1


def test_poll_started_after_an_error_reads_the_corrected_connection(
    held: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    (waits,) = write_vectors(1)
    held.release()
    right = held.connection
    connect(monkeypatch, held, account_id="f" * 32)

    async def run() -> list[dict[str, Any]]:
        before = await events(make_trigger(waits))
        monkeypatch.setenv("AIRFLOW_CONN_VECTORIZE_DEFAULT", json.dumps(right))
        return [*before, *await events(make_trigger(waits))]

    assert [event["status"] for event in asyncio.run(run())] == ["error", "visible"]


def test_poll_unreadable_row_ends_only_its_own_wait(held: LocalVectorize, after_check: AfterCheck) -> None:
    loads = write_vectors(2)
    after_check(2, held.release)

    results = asyncio.run(
        all_events([make_trigger([{"index_name": "books"}]), *(make_trigger(waits) for waits in loads)])
    )

    assert [event["status"] for event in results] == ["error", "visible", "visible"]
    assert "not the description of a wait" in results[0]["text"]


def test_poll_many_deadlines_share_one_recent_check(held: LocalVectorize) -> None:
    from time import time

    loads = write_vectors(30)
    held.clear_requests()

    results = asyncio.run(
        all_events([
            make_trigger(waits, poke_interval=3600, deadline=time() + 0.3 + n / 100) for n, waits in enumerate(loads)
        ])
    )

    assert statuses(results) == {"timeout"}
    assert all("has not processed any mutation yet" in event["text"] for event in results)
    assert len(held.requests()) == 1, "a check of a moment ago need not be repeated"


def test_poll_each_trigger_logs_only_its_own_mutation_and_only_once(
    held: LocalVectorize, after_check: AfterCheck, caplog: pytest.LogCaptureFixture, log: Log
) -> None:
    loads = write_vectors(5)
    after_check(8, held.release)

    asyncio.run(all_events([make_trigger(waits) for waits in loads]))

    lines = [line for line in log.text.splitlines() if "Not visible yet" in line]
    assert len(lines) == 5
    for (wait,) in loads:
        assert sum(wait["mutation_id"] in line for line in lines) == 1


class NotAnException(BaseException):
    """Stands for errors that do not derive from ``Exception``, as Airflow has some."""


@pytest.mark.parametrize("error", [RuntimeError, NotAnException])
def test_poll_unexpected_error_is_raised_unchanged_in_every_trigger(
    held: LocalVectorize, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    from airflow_provider_vectorize.visibility.monitor import IndexMonitor

    loads = write_vectors(3)

    def failing_check(*_: Any) -> Any:
        raise error("a bug")

    monkeypatch.setattr(IndexMonitor, "check", failing_check)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)

    async def run() -> list[Any]:
        return await asyncio.gather(*(events(make_trigger(waits)) for waits in loads), return_exceptions=True)

    assert [str(error) for error in asyncio.run(run())] == ["a bug"] * 3
