"""Decide when the next request may start. All threads of a client share one pacer."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_provider_vectorize.api.limits import WINDOW_SECONDS
from airflow_provider_vectorize.api.retry import QUOTA, Budget


@dataclass(frozen=True)
class Clock:
    """Reads the time and waits. Tests replace it.

    :param now: Returns the time in seconds, from an arbitrary starting point.
    :param wait: Waits for the given number of seconds, or until the event is set. Returns whether the event is set.
    """

    now: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait


class StoppedError(Exception):
    """The client was stopped while a request was waiting. The load that stopped the client handles this error."""


#: Seconds between two checks whether an answer has reported the budget.
ANSWER_CHECK_SECONDS = 0.05
#: Share of the quota that is never used, because workers do not coordinate and may take the last request together.
MIN_RESERVE = 0.02
#: Share of the quota that may be in flight before an answer has reported the budget of a new window.
UNKNOWN_BUDGET_SHARE = 0.125
#: Number of answers from which the load by other workers is estimated. Fewer are too random, more are too old.
OBSERVED_ANSWERS = 5
#: Exponent with which the load by other workers lengthens a pause. With 1, a slow worker stays slow. With less, all
#: workers approach the same pace. With 0, many workers would use up the budget long before the window ends.
PAUSE_EXPONENT = 0.75
#: Minimum wait that is logged, in seconds. Shorter waits are normal.
MIN_LOGGED_SECONDS = 1.0


class Pacer:
    """Spreads requests over the request budget of the account, and starts none during a rate-limit block.

    The remaining budget is the number in the last answer, minus the requests that were started since. Before the first
    answer the budget is unknown, so requests are sent one at a time. The pacer estimates the load by other workers from
    how fast the budget shrinks between its own requests. The higher this load, the longer are its pauses. The budget
    then lasts for the window, and a worker that starts later gets its share.

    If answers do not report the budget, the client counts its own requests against Cloudflare's documented quota.

    :param reserve: Share of the quota that is left to others, 0 to 1. At least :data:`MIN_RESERVE` is used.
    :param clock: Clock of the client.
    """

    def __init__(self, reserve: float, clock: Clock) -> None:
        self.reserve = max(reserve, MIN_RESERVE)
        self._clock = clock
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._in_flight = 0
        self._answered = False
        self._quota = math.inf
        self._window: Budget | None = None  # Remaining budget. Here, ``reset`` is a time of the clock.
        self._last_start = -math.inf
        #: Remaining requests in the last answers, as far as they were at most half of the quota.
        self._remaining_history: deque[int] = deque(maxlen=OBSERVED_ANSWERS)
        self._blocked_until = -math.inf
        self.requests_started = 0  #: Number of requests that were started.
        self.seconds_waited = 0.0  #: Seconds for which requests were delayed, summed over all threads.

    def start(self, log_wait: Callable[[float, str], None]) -> None:
        """Wait until a request may start. The caller must call :meth:`finish` after the request.

        :param log_wait: Called with the seconds and the reason before each wait of at least
            :data:`MIN_LOGGED_SECONDS`.
        :raises StoppedError: :attr:`stopped` is set.
        """
        while True:
            if self.stopped.is_set():
                raise StoppedError
            with self._lock:
                wait, reason = self._next_wait()
                if wait <= 0:
                    self._in_flight += 1
                    self._last_start = self._clock.now()
                    self.requests_started += 1
                    if self._window:
                        self._window = replace(self._window, left=self._window.left - 1)
                    return
                self.seconds_waited += wait
            if wait >= MIN_LOGGED_SECONDS:
                log_wait(wait, reason)
            self.wait(wait)

    @property
    def quota(self) -> int:
        """Number of requests in a whole window of the account, according to the last answer."""
        return QUOTA if self._quota == math.inf else int(self._quota)

    def delay(self) -> float:
        """Return the seconds until the next request may start."""
        with self._lock:
            return max(0.0, self._next_wait()[0])

    def wait(self, seconds: float) -> None:
        """Wait for a number of seconds.

        :raises StoppedError: :attr:`stopped` is set.
        """
        if self._clock.wait(self.stopped, seconds):
            raise StoppedError

    def finish(self, budget: Budget | None, blocked: float, *, answered: bool = True) -> None:
        """Record that a request has ended.

        :param budget: Budget that the answer reports, if any.
        :param blocked: Seconds for which Cloudflare blocks the account according to the answer, or 0.
        :param answered: Whether the request got an answer.
        """
        with self._lock:
            now = self._clock.now()
            self._in_flight -= 1
            self._answered = self._answered or answered
            if blocked > 0:
                self._blocked_until = max(self._blocked_until, now + blocked)
                self._window = None
            elif budget is not None:
                self._update_window(budget, now)
            elif answered and self._window is None:
                self._quota = QUOTA
                self._window = Budget(QUOTA - 1 - self._in_flight, now + WINDOW_SECONDS, QUOTA)

    def _update_window(self, budget: Budget, now: float) -> None:
        if self._window is None or now >= self._window.reset:
            self._remaining_history.clear()
        if budget.left <= budget.quota / 2:
            self._remaining_history.append(min([budget.left, *self._remaining_history]))
        # The answer may not count the requests that are in flight.
        left, reset = budget.left - self._in_flight, now + budget.reset
        if self._window and now < self._window.reset and budget.quota == self._quota:
            # Answers can arrive out of order. Within a window, the newest has the fewest remaining requests.
            left, reset = min(left, self._window.left), min(reset, self._window.reset)
        self._window, self._quota = Budget(left, reset, budget.quota), budget.quota

    def _next_wait(self) -> tuple[float, str]:
        """Return the seconds until a request may start, and the reason."""
        now = self._clock.now()
        if now < self._blocked_until:
            return self._blocked_until - now, "Cloudflare blocks the account because its request budget is used up"
        if self._window and now >= self._window.reset:
            self._window = None  # The next request starts a new window.
        if self._window is None:
            allowed = self._quota * UNKNOWN_BUDGET_SHARE if self._answered else 0.0
            wait = ANSWER_CHECK_SECONDS if self._in_flight > allowed else 0.0
            return wait, "the request budget is unknown until the next answer"
        window = replace(self._window, reset=self._window.reset - now)
        pause = window.pause(self.reserve)
        if pause >= window.reset:
            return window.reset, f"the last {window.left} requests of the account's window are reserved for others"
        pause = min(pause * self._estimated_workers() ** PAUSE_EXPONENT, window.reset)
        return self._last_start + pause - now, f"pacing: {window.left} requests are left for {window.reset:.0f} s"

    def _estimated_workers(self) -> float:
        """Return how many requests the account sends for each request of this client."""
        remaining = self._remaining_history
        if len(remaining) < 2:
            return 1.0
        return max(1.0, (remaining[0] - remaining[-1]) / (len(remaining) - 1))
