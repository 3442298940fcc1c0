"""One poll for all: what many triggers of one triggerer cost, and that none harms another."""

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
from tests.airflow.test_trigger import events, from_row, trigger

AfterCheck = Callable[[int, Callable[[], Any]], None]
Waits = list[dict[str, Any]]


@pytest.fixture
def held(airflow_home: Airflow, books: LocalVectorize) -> LocalVectorize:
    """Nothing is processed unless a test says so."""
    books.hold()
    return books


def written(count: int, *, first: int = 0, index: str = "books") -> list[Waits]:
    """So many loads of one vector each, as their sensors wait for them."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.visibility.waits import waits_for

    hook, found = VectorizeHook(), []
    for number in range(first, first + count):
        mutation = hook.upsert(index, [row(number)])
        found.append([wait.to_dict() for wait in waits_for(mutation, None)])
    return found


async def all_events(triggers: list[Any]) -> list[dict[str, Any]]:
    return [event for found in await asyncio.gather(*(events(one) for one in triggers)) for event in found]


def statuses(found: list[dict[str, Any]]) -> set[str]:
    return {event["status"] for event in found}


def test_two_hundred_cost_one_request_an_interval_while_they_wait(
    held: LocalVectorize, after_check: AfterCheck
) -> None:
    loads = written(200)
    held.clear_requests()
    after_check(10, held.release)

    found = asyncio.run(all_events([trigger(waits, poke_interval=0.1) for waits in loads]))

    assert statuses(found) == {"visible"}
    assert len(found) == 200
    assert 11 <= len(held.requests("info")) <= 18
    assert len(held.requests("delete_by_ids")) == 1, "the watermark is the last load's; a marker proves the rest"


def test_two_hundred_that_a_foreign_watermark_hides_share_one_marker(
    held: LocalVectorize, after_check: AfterCheck
) -> None:
    loads = written(200)
    held.foreign_mutation("books")
    held.clear_requests()
    after_check(5, held.release)

    found = asyncio.run(all_events([trigger(waits, poke_interval=0.1) for waits in loads]))

    assert statuses(found) == {"visible"}
    assert len(held.requests("info")) <= 13
    assert len(held.requests("delete_by_ids")) == 1


def test_each_index_and_each_connection_has_a_poll_of_its_own(
    held: LocalVectorize, after_check: AfterCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    VectorizeHook().create_index("films", dimensions=DIMENSIONS, metric="cosine")
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(held.connection))
    books, films = written(10), written(10, index="films")
    held.clear_requests()
    after_check(9, held.release)

    waiting = [trigger([*book, *film]) for book, film in zip(books, films, strict=True)]
    # The last mutation of a job needs no marker: two connections that send markers at once hide each other's.
    found = asyncio.run(all_events([*waiting, trigger(books[-1], vectorize_conn_id="other")]))

    assert statuses(found) == {"visible"}
    looked_at = {one.path.split("/")[-2] for one in held.requests("info")}
    assert looked_at == {"books", "films"}
    assert len(held.requests("info")) <= 9 + 12


def test_the_shortest_interval_that_is_asked_for_is_the_polls(held: LocalVectorize, after_check: AfterCheck) -> None:
    (waits,) = written(1)
    after_check(5, held.release)

    found = asyncio.run(all_events([trigger(waits, poke_interval=3600), trigger(waits, poke_interval=0.01)]))

    assert statuses(found) == {"visible"}


def test_a_task_that_is_cleared_leaves_and_the_others_go_on(held: LocalVectorize, after_check: AfterCheck) -> None:
    loads = written(3)

    async def run() -> list[dict[str, Any]]:
        loop, looked = asyncio.get_running_loop(), asyncio.Event()
        after_check(2, lambda: loop.call_soon_threadsafe(looked.set))
        after_check(4, held.release)
        first, *others = (asyncio.create_task(events(trigger(waits))) for waits in loads)
        await looked.wait()
        first.cancel()
        assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], asyncio.CancelledError)
        return [event for found in await asyncio.gather(*others) for event in found]

    assert statuses(asyncio.run(run())) == {"visible"}


def test_a_poll_that_somebody_cancels_is_begun_anew_by_those_who_wait(
    held: LocalVectorize, after_check: AfterCheck
) -> None:
    loads = written(3)

    async def run() -> list[dict[str, Any]]:
        loop, looked = asyncio.get_running_loop(), asyncio.Event()
        after_check(2, lambda: loop.call_soon_threadsafe(looked.set))
        after_check(4, held.release)
        waiting = asyncio.create_task(all_events([trigger(waits) for waits in loads]))
        await looked.wait()
        (poll,) = (task for task in asyncio.all_tasks() if "poll of index books" in task.get_name())
        poll.cancel()
        return await waiting

    assert statuses(asyncio.run(run())) == {"visible"}


def test_no_poll_is_left_when_nobody_waits(held: LocalVectorize) -> None:
    (waits,) = written(1)
    held.release()

    async def run() -> None:
        await events(trigger(waits))
        polls = [task for task in asyncio.all_tasks() if "poll of index" in task.get_name()]
        await asyncio.wait_for(asyncio.gather(*polls), 30)

    asyncio.run(run())
    assert len(held.requests("info")) == 1


def test_a_triggerer_that_starts_over_loses_nothing(held: LocalVectorize, after_check: AfterCheck) -> None:
    loads = written(50)
    waiting = [trigger(waits) for waits in loads]

    async def until_interrupted() -> None:
        loop, looked = asyncio.get_running_loop(), asyncio.Event()
        after_check(3, lambda: loop.call_soon_threadsafe(looked.set))
        running = asyncio.create_task(all_events(waiting))
        await looked.wait()
        running.cancel()

    asyncio.run(until_interrupted())
    held.release()

    assert statuses(asyncio.run(all_events([from_row(one.serialize()) for one in waiting]))) == {"visible"}


def test_credentials_that_are_refused_end_all_waits_after_one_request(held: LocalVectorize) -> None:
    loads = written(20)
    held.clear_requests()
    held.fail("answer", times=None, status=401, code=10000, message="Authentication error")

    async def run() -> list[dict[str, Any]]:
        return await all_events([trigger(waits) for waits in loads])

    found = asyncio.run(run())

    assert statuses(found) == {"error"}
    assert all("Authentication error" in event["text"] for event in found)
    assert len(held.requests()) == 1


def test_a_connection_that_was_corrected_is_read_by_whoever_comes_next(
    held: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    (waits,) = written(1)
    held.release()
    right = held.connection
    connect(monkeypatch, held, account_id="f" * 32)

    async def run() -> list[dict[str, Any]]:
        before = await events(trigger(waits))
        monkeypatch.setenv("AIRFLOW_CONN_VECTORIZE_DEFAULT", json.dumps(right))
        return [*before, *await events(trigger(waits))]

    assert [event["status"] for event in asyncio.run(run())] == ["error", "visible"]


def test_a_row_that_cannot_be_read_ends_its_own_wait_only(held: LocalVectorize, after_check: AfterCheck) -> None:
    loads = written(2)
    after_check(2, held.release)

    found = asyncio.run(all_events([trigger([{"index_name": "books"}]), *(trigger(waits) for waits in loads)]))

    assert [event["status"] for event in found] == ["error", "visible", "visible"]
    assert "not the description of a wait" in found[0]["text"]


def test_deadlines_of_many_make_no_looks_of_their_own(held: LocalVectorize) -> None:
    from time import time

    loads = written(30)
    held.clear_requests()

    found = asyncio.run(
        all_events([
            trigger(waits, poke_interval=3600, deadline=time() + 0.3 + n / 100) for n, waits in enumerate(loads)
        ])
    )

    assert statuses(found) == {"timeout"}
    assert all("has not processed any mutation yet" in event["text"] for event in found)
    assert len(held.requests()) == 1, "a look of a moment ago is as good as a new one"


def test_each_log_tells_of_its_own_mutation_and_not_at_every_look(
    held: LocalVectorize, after_check: AfterCheck, caplog: pytest.LogCaptureFixture, log: Log
) -> None:
    loads = written(5)
    after_check(8, held.release)

    asyncio.run(all_events([trigger(waits) for waits in loads]))

    said = [line for line in log.text.splitlines() if "Not visible yet" in line]
    assert len(said) == 5
    for (wait,) in loads:
        assert sum(wait["mutation_id"] in line for line in said) == 1


class NoException(BaseException):
    """Airflow has such, too."""


@pytest.mark.parametrize("error", [RuntimeError, NoException])
def test_a_failure_that_nobody_foresaw_reaches_each_who_waits_as_it_is(
    held: LocalVectorize, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    from airflow_provider_vectorize.visibility.monitor import IndexMonitor

    loads = written(3)

    def broken(*_: Any) -> Any:
        raise error("a bug")

    monkeypatch.setattr(IndexMonitor, "check", broken)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)

    async def run() -> list[Any]:
        return await asyncio.gather(*(events(trigger(waits)) for waits in loads), return_exceptions=True)

    assert [str(error) for error in asyncio.run(run())] == ["a bug"] * 3
