"""Describe how far the comparison of a source is, for the log and for metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.load.progress import Progress
from airflow_provider_vectorize.load.progress_reporter import ProgressReporter
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.sync.comparison import Comparison


@dataclass(frozen=True)
class SyncProgress(Progress):
    """The progress of a sync while it reads the source. Its share is that of the objects that are opened.

    :param rows_read: Number of rows that were read.
    :param added: How many of these have an ID that was not known.
    :param changed: How many of these differ from the vector that was sent last.
    :param unchanged: How many of these are not sent. The other rows are bad.
    """

    rows_read: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0

    def __str__(self) -> str:
        """Return one line for the log while the sync reads its source."""
        return (
            f"Read {pluralize(self.rows_read, 'row')}: {self.added:,} added, {self.changed:,} changed, "
            f"{self.unchanged:,} unchanged so far. {super().__str__()}"
        )


class SyncProgressReporter(ProgressReporter):
    """Report every few seconds how far the comparison and the upload are.

    The parameters are those of :class:`ProgressReporter`, and:

    :param comparison: Knows how many rows it has read.
    """

    def __init__(self, *args: Any, comparison: Comparison) -> None:
        self._comparison = comparison
        super().__init__(*args)

    def while_reading(self, blocks: Iterable[Rows]) -> Iterator[Rows]:
        """Pass blocks on, and report the progress between them."""
        for rows in blocks:
            if self.due:
                self.report(0)
            yield rows
            del rows  # A long line must not stay in memory while the next one is read.

    def _progress(self, in_flight: int) -> Progress:
        findings = self._comparison.findings
        added, changed, good = findings.rows_added, findings.rows_changed, findings.good_rows
        return SyncProgress(
            **vars(super()._progress(in_flight)),
            rows_read=good + findings.bad_rows,
            added=added,
            changed=changed,
            unchanged=good - added - changed,
        )

    def _processed_share(self) -> float | None:
        comparison = self._comparison
        position = comparison.position
        opened = [number for number in range(len(comparison.objects)) if not comparison.skipped[number]]
        source = LoadSource([comparison.objects[number] for number in opened], self._source.reader)
        return source.share_before(position._replace(object=sum(number < position.object for number in opened)))
