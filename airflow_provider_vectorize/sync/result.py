"""The result of a sync: the receipt of a load, with the counts of a sync."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.quantities import format_elapsed, format_size, pluralize

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
        """Return the counts as text. Those of unusual things are named only if they are not 0."""
        counts = [
            f"{self.added:,} added",
            f"{self.changed:,} changed",
            f"{self.unchanged:,} unchanged",
            f"{self.vanished:,} left the source",
            f"{self.deleted:,} deleted",
            f"{self.withheld:,} withheld",
        ]
        unusual = {
            "rejected": pluralize(self.rejected, "bad row"),
            "duplicates": pluralize(self.duplicates, "duplicate row"),
            "unknown": f"{self.unknown:,} with unknown content in the index",
        }
        return ", ".join(counts + [text for name, text in unusual.items() if getattr(self, name)])

    def summary(self, seconds: float) -> str:
        """Return one line for the log at the end of the sync.

        :param seconds: Duration of the run.
        """
        what = "Compared without writing: " if self.dry_run else "Synced "
        line = f'{what}index "{self.index_name}" in {format_elapsed(seconds)}: {self.describe()}. {self._sent}. '
        line += f"Read {pluralize(self.rows_read, 'row')}, skipped {pluralize(self.objects_skipped, 'object')}."
        return f"{line} Last mutation: {self.mutation_id}." if self.mutation_id else line

    @property
    def _sent(self) -> str:
        what = [(self.vectors, "vector"), (self.deleted, "deletion")]
        sent = " and ".join(pluralize(count, noun) for count, noun in what if count)
        action = "A real run sends" if self.dry_run else "Sent"
        if not sent:
            return f"{action} nothing"
        size = f" ({format_size(self.bytes_sent)})" if self.bytes_sent else ""
        return f"{action} {sent} in {pluralize(self.batches, 'request')}{size}"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON. It is also a receipt, see :meth:`Receipt.to_dict`."""
        return super().to_dict()
