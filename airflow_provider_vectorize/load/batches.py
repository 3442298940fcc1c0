"""Rows → batches that can be sent again byte for byte, under both limits of a request."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.load.lines import READ_BYTES, Mark
from airflow_provider_vectorize.load.vectors import BadRow, GoodRow


class End(NamedTuple):
    """The end of an object: everything before the mark was read."""

    mark: Mark


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
            piece = os.pread(fd, min(READ_BYTES, self.end - at), at)
            if not piece:
                raise OSError("the temporary file of the batch is shorter than it was")
            at += len(piece)
            yield piece


@dataclass
class Batch:
    """Some rows in an unnamed temporary file, which goes away with the batch.

    :param start: the batch speaks for everything in the source from here …
    :param end: … to here: rows sent, rows set aside, and blank lines.
    :param ends: where each row ends in the file.
    :param marks: where each row stands in the source.
    :param ids: the vectors' ids.
    :param bad: rows of this part of the source that are not sent.
    :param last: nothing follows.
    """

    start: Mark
    end: Mark
    file: IO[bytes]
    ends: list[int] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
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
        return b"".join(self.body(row, row + 1)).rstrip(b"\n")

    def close(self) -> None:
        """Give the disk back."""
        self.file.close()


def cut(rows: Iterable[GoodRow | BadRow | End], limits: Limits, start: Mark) -> Iterator[Batch]:
    """Pack rows into the fewest batches that keep their order.

    A batch goes out when a row comes that does not fit; so the one that goes out at the end is known to be
    the last. Each row costs its bytes and a newline.

    :param start: where the rows begin in the source.
    """
    batch = Batch(start, start, tempfile.TemporaryFile())
    for row in rows:
        if isinstance(row, End):
            batch.end = row.mark
            continue
        if isinstance(row, BadRow):
            batch.bad.append(row)
            continue
        size = len(row.text) + 1
        if len(batch) and (len(batch) >= limits.vectors_per_request or batch.size + size > limits.bytes_per_request):
            # Bad rows that came after the batch's last good one belong to it: its end is the new row's mark.
            batch.end = row.mark
            batch.file.flush()
            yield batch
            batch = Batch(row.mark, row.mark, tempfile.TemporaryFile())
        batch.file.write(row.text)
        batch.file.write(b"\n")
        batch.ends.append(batch.size + size)
        batch.marks.append(row.mark)
        batch.ids.append(row.id)
    batch.last = True
    batch.file.flush()
    yield batch
