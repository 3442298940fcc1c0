"""The time, which tests may move."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Wall time plus a shift, so that a test need not wait for a cursor or a rate limit to expire."""

    def __init__(self) -> None:
        self.shift = 0.0

    def now(self) -> float:
        return time.time() + self.shift


def milliseconds(moment: float) -> str:
    """``2026-11-22T10:15:30.123Z``, the form of ``processedUpToDatetime``."""
    return datetime.fromtimestamp(int(moment * 1000) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def microseconds(moment: float) -> str:
    """``2026-11-22T10:15:30.123456Z``, the form of ``created_on``."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def nanoseconds(moment: float) -> str:
    """``2026-11-22T10:15:30.123456000+00:00``, the form of ``cursorExpirationTimestamp``."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000+00:00")
