"""Rows → batches that can be sent again byte for byte, under both limits of a request."""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.load.lines import Mark
from airflow_provider_vectorize.load.rows import BadRow, Rows

#: Bytes of one read of a body. A sender competes with the reader for the interpreter at each one.
SEND_BYTES = 2 << 20


@contextmanager
def spooling() -> Iterator[None]:
    """Turn what a temporary file raises into one sentence that says what to do.

    Not an ``OSError``: on the wire that would pass for a lost connection, and be tried again.
    """
    try:
        yield
    except OSError as error:
        raise VectorizeError(
            f"The temporary directory {tempfile.gettempdir()} cannot be used: {error.strerror or error}. A load needs "
            "room for max_in_flight + 2 batches there, up to 100 MB each: free some, point TMPDIR to another disk, or "
            "lower max_in_flight."
        ) from error


def temporary_file() -> IO[bytes]:
    """A file without a name, which goes away with the process."""
    with spooling():
        return tempfile.TemporaryFile(buffering=0)


class Span:
    """A part of a file as a request's body: read anew, in large pieces, at each iteration. Never in memory."""

    def __init__(self, file: IO[bytes], start: int, end: int) -> None:
        self._file = file
        self.start = start
        self.end = end

    def __len__(self) -> int:
        return self.end - self.start

    def __iter__(self) -> Iterator[bytes]:
        fd, at = self._file.fileno(), self.start
        while at < self.end:
            with spooling():
                piece = os.pread(fd, min(SEND_BYTES, self.end - at), at)
                if not piece:
                    raise OSError("the file of a batch is shorter than it was")
            at += len(piece)
            yield piece


class Piece(NamedTuple):
    """The part of one block's rows that is in a batch.

    :param first: its first row's number in the batch.
    """

    first: int
    object: int
    lines: list[int]
    offsets: list[int]


@dataclass(eq=False)
class Batch:
    """Some rows in an unnamed temporary file, which goes away with the batch.

    :param start: the batch speaks for everything in the source from here …
    :param end: … to here: rows sent, rows set aside, and blank lines.
    :param ends: where each row ends in the file.
    :param ids: the vectors' ids; ``None`` for those that were not looked at.
    :param bad: rows of this part of the source that are not sent.
    :param last: nothing follows.
    """

    start: Mark
    end: Mark
    file: IO[bytes] = field(default_factory=temporary_file)
    ends: list[int] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    last: bool = False

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self.ends[-1] if self.ends else 0

    def body(self, first: int = 0, stop: int | None = None) -> Span:
        """The rows from ``first`` to before ``stop``."""
        stop = len(self) if stop is None else stop
        return Span(self.file, self.ends[first - 1] if first else 0, self.ends[stop - 1])

    def text(self, row: int) -> bytes:
        """The bytes of one row."""
        return b"".join(self.body(row, row + 1)).rstrip(b"\r\n")

    def mark(self, row: int) -> Mark:
        """Where a row stands in the source."""
        piece = self.pieces[bisect_right(self.pieces, row, key=lambda piece: piece.first) - 1]
        return Mark(piece.object, piece.lines[row - piece.first], piece.offsets[row - piece.first])

    def add(self, rows: Rows, first: int, stop: int) -> None:
        """Take some rows of a block."""
        start = rows.ends[first - 1] if first else 0
        shift = self.size - start
        self.pieces.append(Piece(len(self), rows.object, rows.lines[first:stop], rows.offsets[first:stop]))
        self.ends += [end + shift for end in rows.ends[first:stop]]
        self.ids += rows.ids[first:stop]
        view = memoryview(rows.body)[start : rows.ends[stop - 1]]
        with spooling():
            while view:
                view = view[os.write(self.file.fileno(), view) :]

    def close(self) -> None:
        """Give the disk back."""
        self.file.close()


def cut(blocks: Iterable[Rows], limits: Limits, start: Mark) -> Iterator[Batch]:
    """Pack rows into the fewest batches that keep their order.

    A batch goes out when a row comes that does not fit; so the one that goes out at the end is known to be the last.
    Each row costs its bytes and a newline.

    :param start: where the rows begin in the source.
    """
    batch = Batch(start, start)
    for rows in blocks:
        at, count, bad = 0, len(rows.ends), 0
        while at < count:
            stop = _fitting(batch, rows, at, limits)
            if stop == at:
                # Bad rows before the row that does not fit belong to the batch: it ends where that row begins.
                end = Mark(rows.object, rows.lines[at], rows.offsets[at])
                while bad < len(rows.bad) and rows.bad[bad].mark < end:
                    batch.bad.append(rows.bad[bad])
                    bad += 1
                batch.end = end
                yield batch
                batch = Batch(end, end)
                continue
            batch.add(rows, at, stop)
            at = stop
        batch.bad += rows.bad[bad:]
        batch.end = rows.end
    batch.last = True
    yield batch


def _fitting(batch: Batch, rows: Rows, at: int, limits: Limits) -> int:
    """The first row from ``at`` on that does not fit into the batch. One row always fits into an empty batch."""
    start = rows.ends[at - 1] if at else 0
    room = limits.bytes_per_request - batch.size
    stop = bisect_right(rows.ends, start + room, at)
    stop = min(stop, at + limits.vectors_per_request - len(batch))
    return max(stop, at + 1) if not len(batch) else stop
