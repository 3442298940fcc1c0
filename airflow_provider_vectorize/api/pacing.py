"""When the next request may start: one pacer for all threads of a client."""

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
    """The two things that tests replace: reading the time and letting it pass.

    :param now: seconds, from anywhere.
    :param wait: let seconds pass, or fewer if the event is set meanwhile; returns whether it is set.
    """

    now: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait


class StoppedError(Exception):
    """The client was stopped while a request waited for its turn. Never leaves the load that stopped it."""


#: Seconds after which a thread looks again whether the first answer has come.
PROBE_SECONDS = 0.05
#: Share of the quota that is never used: workers that do not talk may reach for the last request at the same time.
LEAST_RESERVE = 0.02
#: Share of the quota that may be on the wire while nobody has told what is left of a new window.
UNKNOWN_SHARE = 0.125
#: So many answers tell how many others there are. Fewer are chance, more are history.
ANSWERS = 5
#: How much of what the others spend lengthens a pause. With all of it whoever is slow stays slow; with less, workers
#: come to the same pace, whatever it was; with nothing, many would spend the budget long before a window ends.
YIELD = 0.75
#: Shorter waits are the usual way of pacing, and not worth a line in the log.
WORTH_SAYING = 1.0


class Pacer:
    """Spreads requests over the account's budget, and lets none start while a block lasts.

    What is left is what the last answer said, less what was begun since. Until a first answer has come, nothing is
    known of the budget, and requests go one at a time. How much the answers say was spent between this client's own
    requests tells how many others there are; the more, the longer its pauses, so that the budget lasts for the window
    and a worker that begins late does not find it spent.

    If answers do not report the budget, the client counts its own requests against Cloudflare's documented quota.

    :param reserve: share of the quota that is left to others, 0 to 1; at least :data:`LEAST_RESERVE`.
    """

    def __init__(self, reserve: float, clock: Clock) -> None:
        self.reserve = max(reserve, LEAST_RESERVE)
        self._clock = clock
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._in_flight = 0
        self._answered = False
        self._quota = math.inf
        self._window: Budget | None = None  # what is left of it; ``reset`` is a time of the clock
        self._last_begun = -math.inf
        self._told: deque[int] = deque(maxlen=ANSWERS)  # what was left below half of it, answer by answer
        self._blocked_until = -math.inf
        self.begun = 0  #: requests that were let through
        self.waited = 0.0  #: seconds that requests were kept back, all threads together

    def start(self, say: Callable[[float, str], None]) -> None:
        """Return when a request may start; :meth:`finish` has to follow.

        :param say: called with the seconds and the reason before each longer wait.
        :raises StoppedError: :attr:`stopped` was set.
        """
        while True:
            if self.stopped.is_set():
                raise StoppedError
            with self._lock:
                wait, reason = self._wait()
                if wait <= 0:
                    self._in_flight += 1
                    self._last_begun = self._clock.now()
                    self.begun += 1
                    if self._window:
                        self._window = replace(self._window, left=self._window.left - 1)
                    return
                self.waited += wait
            if wait >= WORTH_SAYING:
                say(wait, reason)
            self.wait(wait)

    @property
    def quota(self) -> int:
        """Requests of a whole window of the account, as the answers said so far."""
        return QUOTA if self._quota == math.inf else int(self._quota)

    def due(self) -> float:
        """Seconds until the next request may start."""
        with self._lock:
            return max(0.0, self._wait()[0])

    def wait(self, seconds: float) -> None:
        """Let time pass.

        :raises StoppedError: :attr:`stopped` was set.
        """
        if self._clock.wait(self.stopped, seconds):
            raise StoppedError

    def finish(self, budget: Budget | None, blocked: float, *, answered: bool = True) -> None:
        """Learn from an answer.

        :param budget: what it said of the budget.
        :param blocked: seconds for which it said that nothing will be served.
        :param answered: whether there was one.
        """
        with self._lock:
            now = self._clock.now()
            self._in_flight -= 1
            self._answered = self._answered or answered
            if blocked > 0:
                self._blocked_until = max(self._blocked_until, now + blocked)
                self._window = None
            elif budget is not None:
                self._learn(budget, now)
            elif answered and self._window is None:
                self._quota = QUOTA
                self._window = Budget(QUOTA - 1 - self._in_flight, now + WINDOW_SECONDS, QUOTA)

    def _learn(self, budget: Budget, now: float) -> None:
        if self._window is None or now >= self._window.reset:
            self._told.clear()
        if budget.left <= budget.quota / 2:
            self._told.append(min(budget.left, *self._told) if self._told else budget.left)
        # Requests on the wire may not be counted in the answer yet.
        left, reset = budget.left - self._in_flight, now + budget.reset
        if self._window and now < self._window.reset and budget.quota == self._quota:
            # Answers overtake each other: within a window the one that says the least is the newest.
            left, reset = min(left, self._window.left), min(reset, self._window.reset)
        self._window, self._quota = Budget(left, reset, budget.quota), budget.quota

    def _wait(self) -> tuple[float, str]:
        """Seconds until a request may start, and why."""
        now = self._clock.now()
        if now < self._blocked_until:
            return self._blocked_until - now, "Cloudflare blocks the account: its budget of requests is spent"
        if self._window and now >= self._window.reset:
            self._window = None  # a new one begins with the next request
        if self._window is None:
            most = self._quota * UNKNOWN_SHARE if self._answered else 0.0
            return PROBE_SECONDS if self._in_flight > most else 0.0, "the next answer tells what is left"
        window = replace(self._window, reset=self._window.reset - now)
        pause = window.pause(self.reserve)
        if pause >= window.reset:
            return window.reset, f"{window.left} requests are left in the account's window, and kept for others"
        pause = min(pause * self._workers() ** YIELD, window.reset)
        return self._last_begun + pause - now, f"pacing: {window.left} requests are left for {window.reset:.0f} s"

    def _workers(self) -> float:
        """How many requests the account makes for one of this client's: about as many workers there are."""
        if len(self._told) < 2:
            return 1.0
        return max(1.0, (self._told[0] - self._told[-1]) / (len(self._told) - 1))
