"""A clock that tests can shift, and the time formats of the API."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Wall-clock time plus a shift, so that tests need not wait for a cursor or a rate-limit block to expire."""

    def __init__(self) -> None:
        self.shift = 0.0

    def now(self) -> float:
        return time.time() + self.shift


def milliseconds(moment: float) -> str:
    """Format a time as ``2026-11-22T10:15:30.123Z``, as in ``processedUpToDatetime``."""
    return datetime.fromtimestamp(int(moment * 1000) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def microseconds(moment: float) -> str:
    """Format a time as ``2026-11-22T10:15:30.123456Z``, as in ``created_on``."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def nanoseconds(moment: float) -> str:
    """Format a time as ``2026-11-22T10:15:30.123456000+00:00``, as in ``cursorExpirationTimestamp``."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000+00:00")
