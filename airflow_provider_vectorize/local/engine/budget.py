"""Request budget of the API: a number of requests in each window, and a rate-limit block when exceeded."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from airflow_provider_vectorize.local.engine.clock import Clock

MAX_REQUESTS = 1_000_000_000
MAX_SECONDS = 31_557_600.0  # a year
ALLOWANCE_FORM = re.compile(r"([0-9]{1,10})/([0-9]{1,8}(?:\.[0-9]{1,9})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Size of the request budget of each token or API key. Cloudflare allows 1,200 requests in five minutes."""

    requests: int = 1_200
    seconds: float = 300

    @classmethod
    def parse(cls, text: str) -> Allowance:
        """Parse an allowance such as ``30/10``: 30 requests in 10 seconds.

        :raises ValueError: The text is not an allowance, or a number is out of range.
        """
        match = ALLOWANCE_FORM.fullmatch(text)
        if match is None or not 1 <= int(match[1]) <= MAX_REQUESTS or not 0 < float(match[2]) <= MAX_SECONDS:
            raise ValueError(f"not a budget: {text[:80]}")
        return cls(int(match[1]), float(match[2]))

    def __str__(self) -> str:
        return f"{self.requests}/{self.seconds:g}"


@dataclass(slots=True)
class _Window:
    ends: float
    left: int
    blocked: bool = False

    def is_current(self, now: float, seconds: float) -> bool:
        """Check whether the window contains ``now``. It does not if the clock was set back before its start."""
        return 0 < self.ends - now <= seconds + 1  # The extra second exceeds any rounding error.


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one request is allowed, and the values of its rate-limit headers."""

    allowed: bool
    left: int
    reset: int
    """Seconds until the window or the rate-limit block ends, rounded up."""
    allowance: Allowance

    def headers(self) -> dict[str, str]:
        return {
            "Ratelimit": f'"default";r={self.left};t={self.reset}',
            "Ratelimit-Policy": f'"default";q={self.allowance.requests};w={self.allowance.seconds:g}',
        }


@dataclass(frozen=True, slots=True)
class WindowState:
    """What is left of the request budget of one credential. It does not tell which credential that is."""

    left: int
    reset: int
    """Seconds until the window or the rate-limit block ends, rounded up."""
    blocked: bool


class Budget:
    """Counts the requests of each credential and blocks credentials that exceed the allowance."""

    def __init__(self, allowance: Allowance, clock: Clock) -> None:
        self.allowance = self._initial_allowance = allowance
        self.arrived_during_block = 0
        self.blocks = 0
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def reset(self, allowance: Allowance | None = None) -> None:
        """Restart all windows, with a new allowance or the initial one."""
        self.allowance = allowance or self._initial_allowance
        self.arrived_during_block = self.blocks = 0
        self._windows.clear()

    def spend(self, credential: str) -> Verdict:
        """Count one request of a credential."""
        now, seconds = self._clock.now(), self.allowance.seconds
        window = self._windows.get(credential)
        if window is None or not window.is_current(now, seconds):
            window = self._windows[credential] = _Window(now + seconds, self.allowance.requests)
        if window.blocked:
            self.arrived_during_block += 1
            return self._verdict(False, 0, window.ends - now)
        if window.left == 0:
            self.blocks += 1
            window.ends, window.blocked = now + seconds, True
            return self._verdict(False, 0, seconds)
        window.left -= 1
        return self._verdict(True, window.left, window.ends - now)

    def windows(self) -> list[WindowState]:
        """Return the current windows, in the order in which their credentials were first used."""
        now, seconds = self._clock.now(), self.allowance.seconds
        return [
            WindowState(window.left, math.ceil(window.ends - now), window.blocked)
            for window in self._windows.values()
            if window.is_current(now, seconds)
        ]

    def _verdict(self, allowed: bool, left: int, seconds: float) -> Verdict:
        return Verdict(allowed, left, math.ceil(seconds), self.allowance)
