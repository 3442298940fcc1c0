"""The request budget of the API: so many requests in a window, and a block of a whole window for going over."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .clock import Clock


@dataclass(frozen=True, slots=True)
class Allowance:
    """1,200 requests in five minutes, for each token or API key."""

    requests: int = 1_200
    seconds: float = 300

    @classmethod
    def parse(cls, text: str) -> Allowance:
        """From ``30/10``: 30 requests in 10 seconds."""
        requests, _, seconds = text.partition("/")
        allowance = cls(int(requests), float(seconds))
        if allowance.requests < 1 or allowance.seconds <= 0:
            raise ValueError(f"no budget: {text}")
        return allowance

    def __str__(self) -> str:
        return f"{self.requests}/{self.seconds:g}"


@dataclass(slots=True)
class _Window:
    ends: float
    left: int
    blocked_until: float = 0.0


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
        now = self._clock.now()
        window = self._windows.get(who)
        if window is not None and now < window.blocked_until:
            self.arrived_during_block += 1
            return self._verdict(False, 0, window.blocked_until - now)
        if window is None or now >= window.ends or window.blocked_until:
            window = self._windows[who] = _Window(now + self.allowance.seconds, self.allowance.requests)
        if window.left == 0:
            self.blocks += 1
            window.blocked_until = now + self.allowance.seconds
            return self._verdict(False, 0, self.allowance.seconds)
        window.left -= 1
        return self._verdict(True, window.left, window.ends - now)

    def _verdict(self, allowed: bool, left: int, seconds: float) -> Verdict:
        return Verdict(allowed, left, math.ceil(seconds), self.allowance)
