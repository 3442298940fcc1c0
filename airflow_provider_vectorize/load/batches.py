"""Rows → batches that can be sent again byte for byte, under both limits of a request."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.load.bad_row_file import BadRowFile
from airflow_provider_vectorize.load.bodies import Body, Extent, Holder, Spool, Spools
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.sources.lines import Position


class Run(NamedTuple):
    """Rows of a batch whose bytes follow each other in one file.

    :param begin: where the first one begins in the batch's body.
    :param at: where it begins in the file.
    """

    begin: int
    holder: Holder
    at: int


class Piece(NamedTuple):
    """The part of one block's rows that is in a batch.

    :param first: its first row's number in the batch.
    """

    first: int
    object: int
    lines: Sequence[int]
    base: int
    offsets: Sequence[int]


@dataclass(eq=False)
class Batch:
    """Some rows, whose bytes wait in files: in the source's own where they are sent as they stand there.

    :param start: the batch speaks for everything in the source from here …
    :param end: … to here: rows sent, rows set aside, and blank lines.
    :param ends: where each row ends in the body.
    :param ids: the vectors' ids; ``None`` for those that were not looked at.
    :param bad: rows of this part of the source that are not sent.
    :param last: nothing follows.
    :param spools: where to take a temporary file from.
    """

    start: Position
    end: Position
    spools: Spools = field(default_factory=Spools)
    ends: list[int] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    bad: BadRowFile = field(default_factory=BadRowFile)
    last: bool = False
    runs: list[Run] = field(default_factory=list)
    spool: Spool | None = None

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self.ends[-1] if self.ends else 0

    def body(self, first: int = 0, stop: int | None = None) -> Body:
        """The rows from ``first`` to before ``stop``."""
        begin, end = self.ends[first - 1] if first else 0, self.ends[len(self) - 1 if stop is None else stop - 1]
        parts: list[Extent] = []
        for run, after in zip_longest(self.runs, self.runs[1:]):
            left, right = max(run.begin, begin), min(after.begin if after else self.size, end)
            if left < right:
                parts.append(Extent(run.holder, run.at + left - run.begin, right - left))
        return Body(parts)

    def text(self, row: int) -> bytes:
        """The bytes of one row."""
        return bytes(self.body(row, row + 1)).rstrip(b"\r\n")

    def position(self, row: int) -> Position:
        """Where a row stands in the source."""
        piece = self.pieces[bisect_right(self.pieces, row, key=lambda piece: piece.first) - 1]
        row -= piece.first
        return Position(piece.object, piece.lines[row], piece.base + piece.offsets[row])

    def add(self, rows: Rows, first: int, stop: int) -> None:
        """Take some rows of a block."""
        start = rows.ends[first - 1] if first else 0
        begin = self.size
        shift = begin - start
        self.pieces.append(Piece(len(self), rows.object, rows.lines[first:stop], rows.base, rows.offsets[first:stop]))
        self.ends += [end + shift for end in rows.ends[first:stop]]
        self.ids += rows.ids[first:stop]
        if rows.source_range:
            holder, at = rows.source_range
            self._follow(begin, holder, at + start)
        else:
            self.spool = self.spool or self.spools.take()
            self._follow(begin, self.spool, self.spool.size)
            self.spool.write(memoryview(rows.body)[start : rows.ends[stop - 1]])

    def _follow(self, begin: int, holder: Holder, at: int) -> None:
        """Note where bytes are, unless they are where the last ones go on."""
        last = self.runs[-1] if self.runs else None
        if not last or last.holder is not holder or at - last.at != begin - last.begin:
            self.runs.append(Run(begin, holder, at))

    def close(self) -> None:
        """The bytes are not needed any more."""
        self.runs = []
        if self.spool:
            self.spools.give(self.spool)
            self.spool = None


def cut(blocks: Iterable[Rows], limits: Limits, start: Position, spools: Spools | None = None) -> Iterator[Batch]:
    """Pack rows into the fewest batches that keep their order.

    A batch goes out when a row comes that does not fit; so the one that goes out at the end is known to be the last.
    Each row costs its bytes and a newline.

    :param start: where the rows begin in the source.
    :param spools: temporary files for them.
    """
    spools = spools or Spools()
    batch = Batch(start, start, spools)
    for rows in blocks:
        at, count, bad = 0, len(rows.ends), 0
        while at < count:
            stop = _fitting(batch, rows, at, limits)
            if stop == at:
                # Bad rows before the row that does not fit belong to the batch: it ends where that row begins.
                end = rows.position(at)
                first, bad = bad, bisect_left(rows.bad, end, bad, key=lambda row: row.position)
                batch.bad.add(rows.bad[first:bad])
                batch.end = end
                yield batch
                batch = Batch(end, end, spools)
                continue
            batch.add(rows, at, stop)
            at = stop
        batch.bad.add(rows.bad[bad:])
        batch.end = rows.end
        del rows  # a long line must not stay in memory while the next one is read
    batch.last = True
    yield batch


def _fitting(batch: Batch, rows: Rows, at: int, limits: Limits) -> int:
    """The first row from ``at`` on that does not fit into the batch. One row always fits into an empty batch."""
    start = rows.ends[at - 1] if at else 0
    room = limits.bytes_per_request - batch.size
    stop = bisect_right(rows.ends, start + room, at)
    stop = min(stop, at + limits.vectors_per_request - len(batch))
    return max(stop, at + 1) if not len(batch) else stop
