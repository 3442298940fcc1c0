"""The request budget of the API: so many requests in a window, and a block of a whole window for going over."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from airflow_provider_vectorize.local.engine.clock import Clock

MOST_REQUESTS = 1_000_000_000
LONGEST_SECONDS = 31_557_600.0  # a year
FORM = re.compile(r"([0-9]{1,10})/([0-9]{1,8}(?:\.[0-9]{1,9})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Allowance:
    """1,200 requests in five minutes, for each token or API key."""

    requests: int = 1_200
    seconds: float = 300

    @classmethod
    def parse(cls, text: str) -> Allowance:
        """Return the allowance that a text such as ``30/10`` means: 30 requests in 10 seconds.

        :raises ValueError: It means none.
        """
        match = FORM.fullmatch(text)
        if match is None or not 1 <= int(match[1]) <= MOST_REQUESTS or not 0 < float(match[2]) <= LONGEST_SECONDS:
            raise ValueError(f"not a budget: {text[:80]}")
        return cls(int(match[1]), float(match[2]))

    def __str__(self) -> str:
        return f"{self.requests}/{self.seconds:g}"


@dataclass(slots=True)
class _Window:
    ends: float
    left: int
    blocked: bool = False

    def lasts_at(self, now: float, seconds: float) -> bool:
        """Return whether it lasts; not if the clock was moved back to before its beginning."""
        return 0 < self.ends - now <= seconds + 1  # a second more than any rounding


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one request may pass, and what the rate limit headers say about it."""

    allowed: bool
    left: int
    reset: int
    """Whole seconds until the window, or the block, is over."""
    allowance: Allowance

    def headers(self) -> dict[str, str]:
        return {
            "Ratelimit": f'"default";r={self.left};t={self.reset}',
            "Ratelimit-Policy": f'"default";q={self.allowance.requests};w={self.allowance.seconds:g}',
        }


class Budget:
    """Counts the requests of each credential."""

    def __init__(self, allowance: Allowance, clock: Clock) -> None:
        self.allowance = self._at_start = allowance
        self.arrived_during_block = 0
        self.blocks = 0
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def reset(self, allowance: Allowance | None = None) -> None:
        """Counts anew, with another allowance or the one it had at the start."""
        self.allowance = allowance or self._at_start
        self.arrived_during_block = self.blocks = 0
        self._windows.clear()

    def spend(self, who: str) -> Verdict:
        """Counts one request of somebody."""
        now, seconds = self._clock.now(), self.allowance.seconds
        window = self._windows.get(who)
        if window is None or not window.lasts_at(now, seconds):
            window = self._windows[who] = _Window(now + seconds, self.allowance.requests)
        if window.blocked:
            self.arrived_during_block += 1
            return self._verdict(False, 0, window.ends - now)
        if window.left == 0:
            self.blocks += 1
            window.ends, window.blocked = now + seconds, True
            return self._verdict(False, 0, seconds)
        window.left -= 1
        return self._verdict(True, window.left, window.ends - now)

    def _verdict(self, allowed: bool, left: int, seconds: float) -> Verdict:
        return Verdict(allowed, left, math.ceil(seconds), self.allowance)
