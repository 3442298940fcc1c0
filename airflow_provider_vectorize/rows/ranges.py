"""Ranges of a source that a load has processed. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_vectorize.sources.lines import Mark


@dataclass(frozen=True)
class ProcessedRanges:
    """The parts of the source that are dealt with, as disjoint ranges in order.

    With n requests in flight there are at most n gaps, so this stays small.
    """

    ranges: tuple[tuple[Mark, Mark], ...] = ()

    def add(self, start: Mark, end: Mark) -> ProcessedRanges:
        """The same, with one more part."""
        merged: list[tuple[Mark, Mark]] = []
        for part in sorted((*self.ranges, (start, end))):
            if merged and part[0] <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], part[1]))
            else:
                merged.append(part)
        return ProcessedRanges(tuple(merged))

    @property
    def start(self) -> Mark:
        """Where to go on: everything before is dealt with."""
        first = self.ranges[0] if self.ranges else None
        return first[1] if first and first[0] == Mark() else Mark()

    @property
    def gaps(self) -> bool:
        """Whether something after :attr:`start` is dealt with, too."""
        return any(end > self.start for _, end in self.ranges)

    def covers(self, mark: Mark) -> bool:
        """Whether the row at this mark is dealt with."""
        return any(start <= mark < end for start, end in self.ranges)
