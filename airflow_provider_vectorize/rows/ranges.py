"""Ranges of a source that a load has processed. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_vectorize.sources.lines import Position


@dataclass(frozen=True)
class ProcessedRanges:
    """The parts of the source that are dealt with, as disjoint ranges in order.

    With n requests in flight there are at most n gaps, so this stays small.
    """

    ranges: tuple[tuple[Position, Position], ...] = ()

    def add(self, start: Position, end: Position) -> ProcessedRanges:
        """The same, with one more part."""
        merged: list[tuple[Position, Position]] = []
        for part in sorted((*self.ranges, (start, end))):
            if merged and part[0] <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], part[1]))
            else:
                merged.append(part)
        return ProcessedRanges(tuple(merged))

    @property
    def resume_position(self) -> Position:
        """Where to go on: everything before is dealt with."""
        first = self.ranges[0] if self.ranges else None
        return first[1] if first and first[0] == Position() else Position()

    @property
    def has_gaps(self) -> bool:
        """Whether something after :attr:`resume_position` is dealt with, too."""
        return any(end > self.resume_position for _, end in self.ranges)

    def covers(self, position: Position) -> bool:
        """Whether the row at this position is dealt with."""
        return any(start <= position < end for start, end in self.ranges)
