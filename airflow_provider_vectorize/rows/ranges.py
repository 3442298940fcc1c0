"""Ranges of a source that a load has processed. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_vectorize.sources.lines import Position


@dataclass(frozen=True)
class ProcessedRanges:
    """The processed ranges of a source: disjoint and in order.

    With n requests in flight there are at most n gaps between them, so this object stays small.
    """

    ranges: tuple[tuple[Position, Position], ...] = ()

    def add(self, start: Position, end: Position) -> ProcessedRanges:
        """Return the ranges with one more."""
        merged: list[tuple[Position, Position]] = []
        for new in sorted((*self.ranges, (start, end))):
            if merged and new[0] <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], new[1]))
            else:
                merged.append(new)
        return ProcessedRanges(tuple(merged))

    @property
    def resume_position(self) -> Position:
        """The first position that is not processed."""
        first = self.ranges[0] if self.ranges else None
        return first[1] if first and first[0] == Position() else Position()

    @property
    def has_gaps(self) -> bool:
        """Whether any range after :attr:`resume_position` is processed."""
        return any(end > self.resume_position for _, end in self.ranges)

    def covers(self, position: Position) -> bool:
        """Return whether the row at a position is processed."""
        return any(start <= position < end for start, end in self.ranges)
