"""Pack rows into batches that respect both limits of a request and can be sent again byte for byte."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.load.bad_row_file import BadRowFile
from airflow_provider_vectorize.load.bodies import BatchFile, BatchFilePool, Body, BodyFile, FileRange
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.sources.lines import Position


class Segment(NamedTuple):
    """A stretch of a batch's body whose bytes are consecutive in one file.

    :param body_start: The offset in the body at which it begins.
    :param file: The file that holds it.
    :param file_start: The offset in the file at which it begins.
    """

    body_start: int
    file: BodyFile
    file_start: int


class RowPositions(NamedTuple):
    """The positions of rows of a batch that come from one block.

    :param first_row: The number in the batch of the first of these rows.
    :param object: The number of the object in the source.
    :param lines: The line of each row, from 1.
    :param base: The offset in the object from which ``offsets`` count.
    :param offsets: The offset of each row.
    """

    first_row: int
    object: int
    lines: Sequence[int]
    base: int
    offsets: Sequence[int]


@dataclass(eq=False)
class Batch:
    """The rows of one request. Their bytes stay in files: in the source's own file if they are sent unchanged.

    A batch represents everything in the source between its two positions: rows to send, bad rows and blank lines.

    :param start: The position at which it begins.
    :param end: The position at which it ends.
    :param file_pool: The pool from which it takes a temporary file.
    :param ends: The offset in the body at which each row ends.
    :param ids: The ID of each row, or ``None`` where the validation did not read it.
    :param row_positions: The positions of the rows, by block.
    :param hashes: The hash of each row, if the check calculates hashes.
    :param bad_rows: The rows that are not sent.
    :param last: Whether no batch follows.
    :param segments: The files that hold the body.
    :param file: The temporary file of the batch, if it needs one.
    """

    start: Position
    end: Position
    file_pool: BatchFilePool = field(default_factory=BatchFilePool)
    ends: list[int] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    row_positions: list[RowPositions] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    bad_rows: BadRowFile = field(default_factory=BadRowFile)
    last: bool = False
    segments: list[Segment] = field(default_factory=list)
    file: BatchFile | None = None

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def size(self) -> int:
        """Return the bytes of all rows."""
        return self.ends[-1] if self.ends else 0

    def body(self, first: int = 0, stop: int | None = None) -> Body:
        """Return the rows from ``first`` to before ``stop`` as a request body. Default: all rows."""
        begin, end = self.ends[first - 1] if first else 0, self.ends[len(self) - 1 if stop is None else stop - 1]
        ranges: list[FileRange] = []
        for segment, following in zip_longest(self.segments, self.segments[1:]):
            left = max(segment.body_start, begin)
            right = min(following.body_start if following else self.size, end)
            if left < right:
                ranges.append(FileRange(segment.file, segment.file_start + left - segment.body_start, right - left))
        return Body(ranges)

    def text(self, row: int) -> bytes:
        """Return the bytes of one row, without its line ending."""
        return bytes(self.body(row, row + 1)).rstrip(b"\r\n")

    def position(self, row: int) -> Position:
        """Return the position of one row in the source."""
        block = self.row_positions[bisect_right(self.row_positions, row, key=lambda rows: rows.first_row) - 1]
        row -= block.first_row
        return Position(block.object, block.lines[row], block.base + block.offsets[row])

    def add(self, rows: Rows, first: int, stop: int) -> None:
        """Append the rows of a block from ``first`` to before ``stop``.

        :raises VectorizeError: The temporary directory cannot be used.
        """
        start = rows.ends[first - 1] if first else 0
        body_start = self.size
        shift = body_start - start
        self.row_positions.append(
            RowPositions(len(self), rows.object, rows.lines[first:stop], rows.base, rows.offsets[first:stop])
        )
        self.ends += [end + shift for end in rows.ends[first:stop]]
        self.ids += rows.ids[first:stop]
        if rows.hashes is not None:
            self.hashes += rows.hashes[first:stop]
        if rows.source_range:
            source_file, block_start = rows.source_range
            self._add_segment(body_start, source_file, block_start + start)
        else:
            self.file = self.file or self.file_pool.acquire()
            self._add_segment(body_start, self.file, self.file.size)
            self.file.write(memoryview(rows.body)[start : rows.ends[stop - 1]])

    def _add_segment(self, body_start: int, file: BodyFile, file_start: int) -> None:
        """Add a segment, unless the bytes directly follow the last one in the same file."""
        last = self.segments[-1] if self.segments else None
        if not last or last.file is not file or file_start - last.file_start != body_start - last.body_start:
            self.segments.append(Segment(body_start, file, file_start))

    def close(self) -> None:
        """Release the files. The rows cannot be sent after that."""
        self.segments = []
        if self.file:
            self.file_pool.release(self.file)
            self.file = None


def split_into_batches(
    blocks: Iterable[Rows], limits: Limits, start: Position, file_pool: BatchFilePool | None = None
) -> Iterator[Batch]:
    """Split rows into the fewest batches that keep their order.

    A batch is yielded when a row follows that does not fit into it. The batch that is left at the end is therefore
    known to be the last one. A row counts with its bytes and a newline.

    :param blocks: The rows of the source, block by block.
    :param limits: The limits of a request. A single row that exceeds them becomes a batch of its own.
    :param start: The position at which the rows begin.
    :param file_pool: Temporary files for the batches. Default: a new pool.
    :raises VectorizeError: The temporary directory cannot be used.
    """
    file_pool = file_pool or BatchFilePool()
    batch = Batch(start, start, file_pool)
    for rows in blocks:
        row, count, bad_row = 0, len(rows.ends), 0
        while row < count:
            stop = _fitting_stop(batch, rows, row, limits)
            if stop == row:
                # The batch ends where the row begins that does not fit, so bad rows before that row belong to it.
                end = rows.position(row)
                first, bad_row = bad_row, bisect_left(rows.bad, end, bad_row, key=lambda bad: bad.position)
                batch.bad_rows.add(rows.bad[first:bad_row])
                batch.end = end
                yield batch
                batch = Batch(end, end, file_pool)
                continue
            batch.add(rows, row, stop)
            row = stop
        batch.bad_rows.add(rows.bad[bad_row:])
        batch.end = rows.end
        del rows  # A long line must not stay in memory while the next one is read.
    batch.last = True
    yield batch


def _fitting_stop(batch: Batch, rows: Rows, first: int, limits: Limits) -> int:
    """Return the first row from ``first`` on that does not fit into the batch. An empty batch takes any row."""
    start = rows.ends[first - 1] if first else 0
    free_bytes = limits.bytes_per_request - batch.size
    stop = bisect_right(rows.ends, start + free_bytes, first)
    stop = min(stop, first + limits.vectors_per_request - len(batch))
    return max(stop, first + 1) if not len(batch) else stop
