"""Names and times of runs."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def new_run_id() -> str:
    """Return an ID for a run. IDs sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def now_text() -> str:
    """Return the current time as text, for people."""
    return datetime.now(UTC).isoformat(timespec="seconds")
