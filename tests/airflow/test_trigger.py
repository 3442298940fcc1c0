"""Tests of the trigger: its row holds no secret, it never blocks the event loop, and it survives interruptions."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import row
from tests.airflow.runs import Airflow, Log

Rows = Callable[..., str]
AfterCheck = Callable[[int, Callable[[], Any]], None]
Waits = list[dict[str, Any]]


@pytest.fixture
def waits(airflow_home: Airflow, books: LocalVectorize, rows: Rows) -> Waits:
    """Waits for a load of ten rows that Vectorize has not processed yet."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.visibility.waits import waits_for

    books.hold()
    waits = [wait.to_dict() for wait in waits_for(VectorizeHook().load("books", rows(10)), None)]
    books.clear_requests()
    return waits


def make_trigger(waits: Waits, **options: Any) -> Any:
    """Return a trigger that checks every 0.01 seconds."""
    from airflow_provider_vectorize.triggers.mutation import VectorizeMutationTrigger

    return VectorizeMutationTrigger(
        waits, **{"vectorize_conn_id": "vectorize_default", "poke_interval": 0.01, **options}
    )


def from_row(serialized: tuple[str, dict[str, Any]]) -> Any:
    """Return the trigger that a triggerer creates from a row of the database."""
    path, arguments = serialized
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))


async def events(trigger: Any) -> list[dict[str, Any]]:
    """Return all events of a trigger."""
    return [dict(event.payload) async for event in trigger.run()]


def test_trigger_restored_from_its_row_is_unchanged(waits: Waits) -> None:
    trigger = make_trigger(waits, vectorize_conn_id="other", deadline=1_800_000_000.5)

    assert from_row(trigger.serialize()).serialize() == trigger.serialize()


def test_trigger_row_contains_no_secret_and_no_vector_data(waits: Waits, books: LocalVectorize) -> None:
    text = json.dumps(make_trigger(waits).serialize())

    assert books.token not in text
    assert books.account_id not in text
    assert "values" not in text
    assert "shelf" not in text
    assert str(row(9)["values"][1]) not in text


def test_trigger_visible_mutation_yields_one_event(waits: Waits, books: LocalVectorize) -> None:
    books.process()

    (event,) = asyncio.run(events(make_trigger(waits)))

    assert event["status"] == "visible"
    assert "the index has shown this mutation" in event["text"]
    assert "10 vectors" in event["text"]


def test_trigger_import_loads_no_heavy_modules(airflow_home: Airflow) -> None:
    """The triggerer imports triggers on its event loop."""
    code = (
        "import sys, airflow_provider_vectorize.triggers.mutation;"
        "print(*sorted(name for name in sys.modules if name.startswith('airflow_provider_vectorize')))"
    )

    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)

    loaded = {name.split(".")[1] for name in process.stdout.splitlines()[-1].split() if "." in name}
    assert "triggers" in loaded
    assert loaded.isdisjoint({"api", "hooks", "load", "plan", "rows", "sources", "storage", "visibility"})


def test_trigger_check_runs_outside_the_event_loop(waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_vectorize.visibility.monitor import IndexMonitor

    check_threads: list[threading.Thread] = []
    original_check, checking, proceed = IndexMonitor.check, threading.Event(), threading.Event()

    def check(*args: Any) -> Any:
        check_threads.append(threading.current_thread())
        checking.set()
        assert proceed.wait(30), "the event loop was blocked during the check"
        return original_check(*args)

    monkeypatch.setattr(IndexMonitor, "check", check)

    async def run() -> threading.Thread:
        task = asyncio.create_task(events(make_trigger(waits)))
        await asyncio.to_thread(checking.wait, 30)
        proceed.set()  # only runs if the event loop is not blocked
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return threading.current_thread()

    assert asyncio.run(run()) not in check_threads
    assert check_threads


def test_trigger_slow_answers_do_not_block_the_event_loop(
    waits: Waits, books: LocalVectorize, after_check: AfterCheck
) -> None:
    books.fail("delay", times=None, seconds=1.0)
    after_check(1, books.process)
    longest = 0.0

    async def probe() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)

    async def run() -> list[dict[str, Any]]:
        probing = asyncio.create_task(probe())
        try:
            return await events(make_trigger(waits))
        finally:
            probing.cancel()

    (event,) = asyncio.run(run())

    assert event["status"] == "visible"
    assert len(books.requests()) >= 2
    assert longest < 1.0, "a request blocked the event loop"


def test_trigger_moved_to_another_triggerer_continues(
    waits: Waits, books: LocalVectorize, after_check: AfterCheck
) -> None:
    trigger = make_trigger(waits)

    async def until_interrupted() -> None:
        loop, checked = asyncio.get_running_loop(), asyncio.Event()
        after_check(2, lambda: loop.call_soon_threadsafe(checked.set))
        running = asyncio.create_task(events(trigger))
        await checked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(until_interrupted())
    books.foreign_mutation("books")
    books.process()
    after_check(6, books.process)  # processes the marker, which is sent after three checks

    (event,) = asyncio.run(events(from_row(trigger.serialize())))

    assert event["status"] == "visible"
    assert "marker" in event["text"]


def test_trigger_running_twice_at_the_same_time_succeeds_twice(
    waits: Waits, books: LocalVectorize, after_check: AfterCheck
) -> None:
    trigger = make_trigger(waits)
    after_check(4, books.process)

    async def run() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(events(from_row(trigger.serialize())), events(from_row(trigger.serialize())))

    assert [event["status"] for (event,) in asyncio.run(run())] == ["visible", "visible"]


def test_trigger_thirty_in_one_triggerer_all_succeed(
    waits: Waits, books: LocalVectorize, after_check: AfterCheck
) -> None:
    after_check(60, books.process)

    async def run() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(*(events(make_trigger(waits)) for _ in range(30)))

    assert {event["status"] for (event,) in asyncio.run(run())} == {"visible"}


def test_trigger_after_its_deadline_checks_once_more(waits: Waits, books: LocalVectorize) -> None:
    books.process()

    (event,) = asyncio.run(events(make_trigger(waits, deadline=time.time() - 3600)))  # no triggerer ran for an hour

    assert event["status"] == "visible"


def test_trigger_at_its_deadline_times_out_and_names_what_is_missing(
    waits: Waits, books: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.triggers import poll, waiter

    for module in (poll, waiter):
        monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)  # as if the first check were long ago

    (event,) = asyncio.run(events(make_trigger(waits, poke_interval=3600, deadline=time.time() + 2)))

    assert event["status"] == "timeout"
    assert "has not processed any mutation yet" in event["text"]
    assert len(books.requests("info")) == 2  # at the start and at the deadline, regardless of the interval


def test_trigger_during_a_rate_limit_block_sends_nothing(waits: Waits, books: LocalVectorize) -> None:
    books.fail("rate_limit", retry_after=300)

    (event,) = asyncio.run(events(make_trigger(waits, deadline=time.time() + 100)))

    assert event["status"] == "timeout"
    assert len(books.requests()) == 1


def test_trigger_block_that_ends_before_the_deadline_is_waited_for(
    waits: Waits, books: LocalVectorize, after_check: AfterCheck
) -> None:
    books.fail("rate_limit", retry_after=1)
    after_check(2, books.process)

    (event,) = asyncio.run(events(make_trigger(waits, deadline=time.time() + 100)))

    assert event["status"] == "visible"
    blocked, second, *_ = books.requests()
    assert (blocked.status, second.status) == (429, 200)
    assert second.started - blocked.started >= 1


def test_trigger_with_a_spent_budget_waits_until_it_is_renewed(
    waits: Waits, books: LocalVectorize, after_check: AfterCheck
) -> None:
    books.set_budget("1/1")  # one more request within a second would block the account
    after_check(2, books.process)

    (event,) = asyncio.run(events(make_trigger(waits, deadline=time.time() + 100)))

    assert event["status"] == "visible"
    assert not any(request.in_block for request in books.requests())


def test_trigger_with_an_unknown_connection_yields_an_error(waits: Waits) -> None:
    (event,) = asyncio.run(events(make_trigger(waits, vectorize_conn_id="elsewhere")))

    assert event == {
        "status": "error",
        "text": 'The triggerer cannot find the connection "elsewhere". It needs access to the connections of the '
        "workers.",
    }


def test_trigger_logs_its_state_only_when_it_changes(
    waits: Waits, books: LocalVectorize, after_check: AfterCheck, log: Log
) -> None:
    after_check(5, books.process)

    asyncio.run(events(make_trigger(waits)))

    lines = [line for line in log.text.splitlines() if 'ndex "books"' in line]
    assert len(lines) == 2, lines


def test_trigger_ends_only_after_the_scheduler_had_time_to_see_the_deferral(
    waits: Waits, books: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.triggers import mutation

    slept: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(mutation, "HANDOVER_SECONDS", 3_600.0)
    monkeypatch.setattr(asyncio, "sleep", note)
    books.process()

    (event,) = asyncio.run(events(make_trigger(waits)))

    assert event["status"] == "visible"
    assert 3_000 < max(slept) <= 3_600
