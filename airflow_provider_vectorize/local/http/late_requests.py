"""Late requests: carried out after the client got an error or no response. See the fault ``late``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_vectorize.local.engine.clock import Clock
from airflow_provider_vectorize.local.engine.problems import Problem
from airflow_provider_vectorize.local.http.call import Call

logger = logging.getLogger(__name__)
Handler = Callable[[Call], Awaitable[Any]]


@dataclass(order=True)
class _LateRequest:
    due: float
    number: int
    call: Call = field(compare=False)
    handler: Handler = field(compare=False)


class LateRequests:
    """Late requests that have not been carried out. They are due by the shifted clock, and are lost in a crash."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[_LateRequest] = []
        self._count = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self._running: set[asyncio.Task[None]] = set()

    def add(self, call: Call, handler: Handler, seconds: float) -> None:
        """Carry out a request after some seconds. Its body must have been read."""
        self._count += 1
        self._waiting.append(_LateRequest(self._clock.now() + seconds, self._count, call, handler))
        self._wake_in(seconds)

    def clear(self) -> None:
        """Discard all late requests."""
        self._waiting.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def __len__(self) -> int:
        return len(self._waiting)

    async def carry_out(self) -> None:
        """Carry out the requests that are due, in the order in which they were due."""
        now = self._clock.now()
        due = sorted(late for late in self._waiting if late.due <= now)
        self._waiting = [late for late in self._waiting if late.due > now]
        for late in due:
            try:
                await late.handler(late.call)
            except Problem as problem:  # There is no client to report it to.
                logger.info("Refused the late request for %s: %s", late.call.request.path, problem)
            except Exception:
                logger.exception("Failed to carry out the late request for %s.", late.call.request.path)

    def _wake_in(self, seconds: float) -> None:
        def wake() -> None:
            self._timers.discard(timer)
            task = loop.create_task(self.carry_out())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        loop = asyncio.get_running_loop()
        timer = loop.call_later(seconds + 0.001, wake)  # The clocks of the loop and of the server may differ slightly.
        self._timers.add(timer)
