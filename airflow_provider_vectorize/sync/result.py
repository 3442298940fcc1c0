"""The result of a sync: the receipt of a load, with the counts of a sync."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_vectorize.load.receipt import Receipt

#: The counts of a sync, in the order in which the log names them.
COUNTS = (
    "added",
    "changed",
    "unchanged",
    "vanished",
    "deleted",
    "withheld",
    "unknown",
    "duplicates",
    "objects_skipped",
    "rows_read",
)


@dataclass(frozen=True)
class SyncResult(Receipt):
    """What a sync did. It is also the receipt of what Vectorize acknowledged, for the sensor.

    :param added: Number of vectors that the sync sent for the first time.
    :param changed: Number of known vectors that it sent again.
    :param unchanged: Number of known vectors of the source that it did not send.
    :param vanished: Number of known vectors that have left the source.
    :param deleted: How many of these it deleted.
    :param withheld: How many of these it should have deleted and did not.
    :param unknown: Number of known vectors whose content in the index is not known. The next run sends them again.
    :param duplicates: Number of rows whose ID occurred before in the source.
    :param foreign: Number of IDs in the index that the sync does not know, or ``None`` if it did not look.
    :param objects_skipped: Number of objects that it did not open, because their version is the same.
    :param rows_read: Number of rows that it read.
    :param generation: Number of the committed generation, 0 before the first.
    :param plan: ID of the plan that can be approved, or ``None``.
    :param dry_run: Whether nothing was written.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    vanished: int = 0
    deleted: int = 0
    withheld: int = 0
    unknown: int = 0
    duplicates: int = 0
    foreign: int | None = None
    objects_skipped: int = 0
    rows_read: int = 0
    generation: int = 0
    plan: str | None = None
    dry_run: bool = False

    @property
    def counts(self) -> Mapping[str, int]:
        """Return the counts by name."""
        return {name: getattr(self, name) for name in COUNTS}

    def describe(self) -> str:
        """Return the counts as text."""
        return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.counts.items())

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON. It is also a receipt, see :meth:`Receipt.to_dict`."""
        return super().to_dict()
