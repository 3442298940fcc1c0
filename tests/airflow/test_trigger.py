"""The trigger: it holds no secret, blocks nobody, and may be interrupted at any time."""

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
    """For a load of ten rows that Vectorize has not processed yet."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.visibility.waits import waits_for

    books.hold()
    found = [wait.to_dict() for wait in waits_for(VectorizeHook().load("books", rows(10)), None)]
    books.clear_requests()
    return found


def trigger(waits: Waits, **options: Any) -> Any:
    """One that looks often."""
    from airflow_provider_vectorize.triggers.mutation import VectorizeMutationTrigger

    return VectorizeMutationTrigger(
        waits, **{"vectorize_conn_id": "vectorize_default", "poke_interval": 0.01, **options}
    )


def from_row(serialized: tuple[str, dict[str, Any]]) -> Any:
    """What a triggerer makes of a row of the database."""
    path, arguments = serialized
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))


async def events(one: Any) -> list[dict[str, Any]]:
    """All events, as the triggerer takes them."""
    return [dict(found.payload) async for found in one.run()]


def test_it_comes_back_from_its_row_as_it_was(waits: Waits) -> None:
    one = trigger(waits, vectorize_conn_id="other", deadline=1_800_000_000.5)

    assert from_row(one.serialize()).serialize() == one.serialize()


def test_its_row_holds_neither_a_secret_nor_data(waits: Waits, books: LocalVectorize) -> None:
    text = json.dumps(trigger(waits).serialize())

    assert books.token not in text
    assert books.account_id not in text
    assert "values" not in text
    assert "shelf" not in text
    assert str(row(9)["values"][1]) not in text


def test_it_yields_one_event_and_ends(waits: Waits, books: LocalVectorize) -> None:
    books.process()

    (event,) = asyncio.run(events(trigger(waits)))

    assert event["status"] == "visible"
    assert "the index has shown this mutation" in event["text"]
    assert "10 vectors" in event["text"]


def test_its_import_is_light_because_the_triggerer_does_it_on_the_event_loop(airflow_home: Airflow) -> None:
    code = (
        "import sys, airflow_provider_vectorize.triggers.mutation;"
        "print(*sorted(name for name in sys.modules if name.startswith('airflow_provider_vectorize')))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)

    loaded = {name.split(".")[1] for name in done.stdout.splitlines()[-1].split() if "." in name}
    assert "triggers" in loaded
    assert loaded.isdisjoint({"api", "hooks", "load", "look", "storage", "visibility"})


def test_a_look_never_runs_on_the_event_loop(waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_vectorize.visibility.monitor import IndexMonitor

    looked_from: list[threading.Thread] = []
    real, looking, go_on = IndexMonitor.check, threading.Event(), threading.Event()

    def check(*args: Any) -> Any:
        looked_from.append(threading.current_thread())
        looking.set()
        assert go_on.wait(30), "the event loop did nothing while this look was under way"
        return real(*args)

    monkeypatch.setattr(IndexMonitor, "check", check)

    async def run() -> threading.Thread:
        one = asyncio.create_task(events(trigger(waits)))
        await asyncio.to_thread(looking.wait, 30)
        go_on.set()  # only a free event loop comes here
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        return threading.current_thread()

    assert asyncio.run(run()) not in looked_from
    assert looked_from


def test_answers_that_take_a_second_do_not_hold_up_the_event_loop(
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
            return await events(trigger(waits))
        finally:
            probing.cancel()

    (event,) = asyncio.run(run())

    assert event["status"] == "visible"
    assert len(books.requests()) >= 2
    assert longest < 1.0, "a request was waited for on the event loop"


def test_it_goes_on_in_another_triggerer(waits: Waits, books: LocalVectorize, after_check: AfterCheck) -> None:
    one = trigger(waits)

    async def until_interrupted() -> None:
        loop, looked = asyncio.get_running_loop(), asyncio.Event()
        after_check(2, lambda: loop.call_soon_threadsafe(looked.set))
        running = asyncio.create_task(events(one))
        await looked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(until_interrupted())
    books.foreign_mutation("books")
    books.process()
    after_check(6, books.process)  # the marker, which three checks had to ask for

    (event,) = asyncio.run(events(from_row(one.serialize())))

    assert event["status"] == "visible"
    assert "marker" in event["text"]


def test_it_may_run_twice_at_the_same_time(waits: Waits, books: LocalVectorize, after_check: AfterCheck) -> None:
    one = trigger(waits)
    after_check(4, books.process)

    async def run() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(events(from_row(one.serialize())), events(from_row(one.serialize())))

    assert [event["status"] for (event,) in asyncio.run(run())] == ["visible", "visible"]


def test_many_wait_in_one_triggerer(waits: Waits, books: LocalVectorize, after_check: AfterCheck) -> None:
    after_check(60, books.process)

    async def run() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(*(events(trigger(waits)) for _ in range(30)))

    assert {event["status"] for (event,) in asyncio.run(run())} == {"visible"}


def test_it_looks_once_more_when_its_time_is_over(waits: Waits, books: LocalVectorize) -> None:
    books.process()

    (event,) = asyncio.run(events(trigger(waits, deadline=time.time() - 3600)))  # no triggerer ran for an hour

    assert event["status"] == "visible"


def test_it_gives_up_at_its_deadline_and_says_what_is_missing(
    waits: Waits, books: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.triggers import poll

    monkeypatch.setattr(poll, "FRESH", 0.0)  # as if the first look were long ago

    (event,) = asyncio.run(events(trigger(waits, poke_interval=3600, deadline=time.time() + 2)))

    assert event["status"] == "timeout"
    assert "has not processed any mutation yet" in event["text"]
    assert len(books.requests("info")) == 2  # at the beginning and at the deadline, however long the interval


def test_it_sends_nothing_while_requests_are_blocked(waits: Waits, books: LocalVectorize) -> None:
    books.fail("rate_limit", retry_after=300)

    (event,) = asyncio.run(events(trigger(waits, deadline=time.time() + 100)))

    assert event["status"] == "timeout"
    assert len(books.requests()) == 1


def test_a_block_that_ends_in_time_is_waited_for(waits: Waits, books: LocalVectorize, after_check: AfterCheck) -> None:
    books.fail("rate_limit", retry_after=1)
    after_check(2, books.process)

    (event,) = asyncio.run(events(trigger(waits, deadline=time.time() + 100)))

    assert event["status"] == "visible"
    blocked, second, *_ = books.requests()
    assert (blocked.status, second.status) == (429, 200)
    assert second.started - blocked.started >= 1


def test_a_budget_that_is_spent_is_left_alone_until_it_is_renewed(
    waits: Waits, books: LocalVectorize, after_check: AfterCheck
) -> None:
    books.set_budget("1/1")  # one more request within a second would block the account
    after_check(2, books.process)

    (event,) = asyncio.run(events(trigger(waits, deadline=time.time() + 100)))

    assert event["status"] == "visible"
    assert not any(one.in_block for one in books.requests())


def test_a_triggerer_that_does_not_know_the_connection_says_so(waits: Waits) -> None:
    (event,) = asyncio.run(events(trigger(waits, vectorize_conn_id="elsewhere")))

    assert event == {
        "status": "error",
        "text": 'The triggerer finds no connection "elsewhere": it has to see those of the workers.',
    }


def test_it_says_what_it_sees_when_that_changes(
    waits: Waits, books: LocalVectorize, after_check: AfterCheck, log: Log
) -> None:
    after_check(5, books.process)

    asyncio.run(events(trigger(waits)))

    said = [line for line in log.text.splitlines() if 'ndex "books"' in line]
    assert len(said) == 2, said
