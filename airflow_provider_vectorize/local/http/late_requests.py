"""Requests that are carried out after their client got no answer or an error: the fault ``late``."""

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
class _Late:
    due: float
    number: int
    call: Call = field(compare=False)
    handler: Handler = field(compare=False)


class LateRequests:
    """Whole requests that wait for their time, by the clock that tests may shift. A crash loses them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[_Late] = []
        self._count = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self._running: set[asyncio.Task[None]] = set()

    def add(self, call: Call, handler: Handler, seconds: float) -> None:
        """Carry a request out that many seconds from now. Its body has been read."""
        self._count += 1
        self._waiting.append(_Late(self._clock.now() + seconds, self._count, call, handler))
        self._wake_in(seconds)

    def clear(self) -> None:
        """Forget all of them."""
        self._waiting.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def __len__(self) -> int:
        return len(self._waiting)

    async def carry_out(self) -> None:
        """Carry out those whose time has come, in its order."""
        now = self._clock.now()
        due = sorted(one for one in self._waiting if one.due <= now)
        self._waiting = [one for one in self._waiting if one.due > now]
        for one in due:
            try:
                await one.handler(one.call)
            except Problem as problem:  # its client has gone
                logger.info("%s was refused when it was late: %s", one.call.request.path, problem)
            except Exception:
                logger.exception("%s failed when it was late", one.call.request.path)

    def _wake_in(self, seconds: float) -> None:
        def wake() -> None:
            self._timers.discard(timer)
            task = loop.create_task(self.carry_out())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        loop = asyncio.get_running_loop()
        timer = loop.call_later(seconds + 0.001, wake)  # the two clocks need not agree to the microsecond
        self._timers.add(timer)
