"""Decide when an index has changed. Pure functions on frozen values, no I/O.

Answers come from replicas that may lag, so only a later time than the latest one counts as a change, and an earlier one
is ignored. Mutation ids have no order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from airflow_provider_vectorize.triggers.view import IndexState

#: Assumed maximum difference between the clocks of Vectorize's servers.
CLOCK_TOLERANCE = timedelta(seconds=2)
#: Consecutive checks without an index, or without any mutation of it, after which a change of it is forgotten.
CONFIRMING_CHECKS = 3


@dataclass(frozen=True)
class Watermark:
    """The last processed mutation of an index.

    :param processed_at: Time at which it was processed. ``None`` if the index has never processed any.
    :param mutation_id: Its ID.
    :param vector_count: Number of vectors that the index showed with it, eventually consistent.
    """

    processed_at: datetime | None = None
    mutation_id: str | None = None
    vector_count: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the watermark as plain JSON."""
        processed_at = self.processed_at.isoformat() if self.processed_at else None
        return {"mutation_id": self.mutation_id, "processed_at": processed_at, "vector_count": self.vector_count}


@dataclass(frozen=True)
class Changes:
    """What the checks of an index have shown about its changes.

    :param fired: Watermark of the last event or, before the first one, of the first check.
    :param after: Only a watermark that was processed later than this is a change.
    :param newest: Latest watermark that a check has shown.
    :param changed_at: Clock time in seconds of the check that first showed it.
    :param pending_since: Clock time in seconds of the first change since the last event. ``None`` if there was none.
    :param checks_without_data: Number of the latest checks that found no index, or one that has processed nothing.
    """

    fired: Watermark
    after: datetime
    newest: Watermark
    changed_at: float = 0.0
    pending_since: float | None = None
    checks_without_data: int = 0

    def to_cursor(self) -> dict[str, Any]:
        """Return what a restarted trigger has to know, as plain JSON."""
        return {**self.fired.to_dict(), "after": self.after.isoformat()}

    @classmethod
    def from_cursor(cls, cursor: Mapping[str, Any]) -> Self | None:
        """Return the changes that :meth:`to_cursor` describes, or ``None`` if this version cannot read it."""
        try:
            processed_at = cursor["processed_at"]
            fired = Watermark(
                datetime.fromisoformat(processed_at) if processed_at else None,
                cursor["mutation_id"],
                cursor["vector_count"],
            )
            return cls(fired, datetime.fromisoformat(cursor["after"]), fired)
        except (KeyError, TypeError, ValueError):
            return None


def begin(index: IndexState) -> Changes:
    """Begin to watch an index. What it has processed before now is not a change.

    The first answer may come from a lagging replica, so the server's clock decides what was processed before.
    """
    shown = _watermark(index)
    now = (index.checked_at or datetime.now(UTC)) - CLOCK_TOLERANCE
    return Changes(shown, max(shown.processed_at or now, now), shown)


def observe(changes: Changes, index: IndexState, now: float) -> Changes:
    """Record a check of the index.

    A change is forgotten once the index is deleted, whether or not it is created again. If it was only a lagging
    replica that did not know the index, the change counts again as soon as a check shows it.

    :param now: Clock time in seconds of the check.
    """
    shown = _watermark(index)
    if shown.processed_at is None:
        changes = replace(changes, checks_without_data=changes.checks_without_data + 1)
        is_gone = changes.checks_without_data >= CONFIRMING_CHECKS
        return replace(changes, newest=changes.fired, pending_since=None) if is_gone else changes
    changes = replace(changes, checks_without_data=0)
    latest = changes.newest.processed_at
    if latest is not None and shown.processed_at <= latest:
        return replace(changes, newest=shown) if shown.processed_at == latest else changes
    if shown.processed_at <= changes.after:
        return changes
    since = now if changes.pending_since is None else changes.pending_since
    return replace(changes, newest=shown, changed_at=now, pending_since=since)


def due(changes: Changes, now: float, quiet_for: float, max_wait: float) -> Literal["quiet", "max_wait", None]:
    """Return why an event is due now, or ``None`` if none is.

    :param quiet_for: Seconds without a further change after which an event is due.
    :param max_wait: Seconds after the first change at which an event is due although changes continue.
    """
    if changes.pending_since is None or changes.checks_without_data:
        return None
    if now - changes.changed_at >= quiet_for:
        return "quiet"
    return "max_wait" if now - changes.pending_since >= max_wait else None


def fire(changes: Changes) -> Changes:
    """Record that an event was sent for the latest watermark."""
    after = changes.newest.processed_at or changes.after
    return replace(changes, fired=changes.newest, after=after, pending_since=None)


def _watermark(index: IndexState) -> Watermark:
    return Watermark(index.processed_at, index.mutation_id, index.vector_count)
