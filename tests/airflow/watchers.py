"""Helpers of the tests of watchers: triggers that check often, a state store, and runs until a check."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.test_trigger import from_row

AfterCheck = Callable[[int, Callable[[], Any]], None]


@pytest.fixture(autouse=True)
def no_handover(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store the cursor right after the event."""
    from airflow_provider_vectorize.triggers import index

    monkeypatch.setattr(index, "HANDOVER_SECONDS", 0.0)


class Store:
    """An asset state store of Airflow 3.3 in memory. It checks that values are plain JSON.

    :param problem: Error that every call raises.
    """

    def __init__(self, problem: Exception | None = None) -> None:
        self.values: dict[str, Any] = {}
        self._problem = problem

    async def aget(self, key: str) -> Any:
        if self._problem:
            raise self._problem
        return self.values.get(key)

    async def aset(self, key: str, value: Any) -> None:
        if self._problem:
            raise self._problem
        self.values[key] = json.loads(json.dumps(value))


def make_watcher(index_name: str = "books", store: Store | None = None, **options: Any) -> Any:
    """Return a trigger that checks every 0.01 seconds, as a triggerer makes it from its row."""
    from airflow_provider_vectorize.triggers.index import VectorizeIndexChangedTrigger

    options = {"quiet_for": 0.05, "poll_interval": 0.01, **options}
    trigger = from_row(VectorizeIndexChangedTrigger(index_name, **options).serialize())
    trigger.asset_state_store = store
    return trigger


def events_until(after_check: AfterCheck, check: int, *triggers: Any) -> list[dict[str, Any]]:
    """Run triggers until a check, and return the payloads of their events. None of them may end."""
    payloads: list[dict[str, Any]] = []

    async def collect(trigger: Any) -> None:
        async for event in trigger.run():
            payloads.append(json.loads(json.dumps(event.payload)))

    async def run() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        after_check(check, lambda: loop.call_soon_threadsafe(done.set))
        running = [asyncio.create_task(collect(trigger)) for trigger in triggers]
        waiting = asyncio.create_task(done.wait())
        await asyncio.wait([*running, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=120)
        assert done.is_set() or any(task.done() for task in running), "there were too few checks"
        assert not any(task.done() for task in running), "a watcher ended"
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(run())
    return payloads


def write(books: LocalVectorize, index_name: str = "books") -> Callable[[], Any]:
    """Return a function that writes to an index as another client, outside of Airflow."""
    return lambda: books.foreign_mutation(index_name)
