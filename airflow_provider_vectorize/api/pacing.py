"""When the next request may start: one pacer for all threads of a client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_vectorize.api.retry import Budget


@dataclass(frozen=True)
class Clock:
    """The two things that tests replace: reading the time and letting it pass.

    :param now: seconds, from anywhere.
    :param wait: let seconds pass, or fewer if the event is set meanwhile; returns whether it is set.
    """

    now: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait


class StoppedError(Exception):
    """The client was stopped while a request waited for its turn. Never leaves the load that stopped it."""


class Pacer:
    """Spreads requests over the account's budget, and lets none start while a block lasts.

    :param reserve: share of the quota that is left to others, 0 to 1.
    """

    def __init__(self, reserve: float, clock: Clock) -> None:
        self._reserve = reserve
        self._clock = clock
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._in_flight = 0
        self._pause = 0.0
        self._next = 0.0
        self._closed_until = 0.0
        self._reason = ""
        self.waited = 0.0  #: seconds that requests were kept back, all threads together

    def start(self, say: Callable[[float, str], None]) -> None:
        """Return when a request may start; :meth:`finish` has to follow.

        :param say: called with the seconds and the reason before each wait.
        :raises StoppedError: :attr:`stopped` was set.
        """
        while True:
            if self.stopped.is_set():
                raise StoppedError
            with self._lock:
                now = self._clock.now()
                wait = max(self._closed_until, self._next) - now
                if wait <= 0:
                    self._next = now + self._pause
                    self._in_flight += 1
                    return
                reason = self._reason
                self.waited += wait
            say(wait, reason)
            self.wait(wait)

    def due(self) -> float:
        """Seconds until the next request may start."""
        with self._lock:
            return max(0.0, self._closed_until - self._clock.now(), self._next - self._clock.now())

    def wait(self, seconds: float) -> None:
        """Let time pass.

        :raises StoppedError: :attr:`stopped` was set.
        """
        if self._clock.wait(self.stopped, seconds):
            raise StoppedError

    def finish(self, budget: Budget | None, blocked: float) -> None:
        """Learn from an answer.

        :param budget: what it said of the budget.
        :param blocked: seconds for which it said that nothing will be served.
        """
        with self._lock:
            now = self._clock.now()
            self._in_flight -= 1
            if blocked > 0:
                self._close(now + blocked, "Cloudflare blocks the account: its budget of requests is spent")
            elif budget is not None:
                self._pause = budget.pause(self._reserve, self._in_flight)
                if self._pause >= budget.reset > 0 and budget.left < budget.quota:
                    self._close(now + budget.reset, f"{budget.left} requests are left in the account's window")
                elif self._pause:
                    self._next = max(self._next, now + self._pause)
                    self._reason = f"pacing: {budget.left} requests are left for {budget.reset:.0f} s"

    def _close(self, until: float, reason: str) -> None:
        if until > self._closed_until:
            self._closed_until, self._reason = until, reason
            self._pause = 0.0
