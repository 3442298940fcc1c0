"""Where the bytes of a batch wait until they are sent: in the source's own file, or in a temporary one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple, Protocol

from airflow_provider_vectorize.errors import VectorizeError

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
            "room for max_in_flight + 2 batches there, up to 100 MB each, and for its bad rows: free some, point "
            "TMPDIR to another disk, or lower max_in_flight."
        ) from error


def temporary_file() -> IO[bytes]:
    """A file without a name, which goes away with the process."""
    with spooling():
        return tempfile.TemporaryFile(buffering=0)


class Holder(Protocol):
    """Something that holds bytes of a body, to be read again and again."""

    def read_into(self, buffer: memoryview, at: int) -> int:
        """Bytes from there on, as many as the buffer takes or fewer, at least one; how many."""
        ...

    def verify(self) -> None:
        """Raise, if its bytes may be others than those that were looked at."""


class Spool:
    """A temporary file that is written from its beginning on, and used again: its pages are there already."""

    def __init__(self) -> None:
        self.file = temporary_file()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        view = memoryview(data)
        with spooling():
            while view:
                done = os.pwrite(self.file.fileno(), view, self.size)
                view, self.size = view[done:], self.size + done

    def read_into(self, buffer: memoryview, at: int) -> int:
        """Some bytes; at least one."""
        with spooling():
            size = os.preadv(self.file.fileno(), [buffer], at)
            if not size:
                raise OSError("the file of a batch is shorter than it was")
        return size

    def verify(self) -> None:
        """Nobody else can write to it."""


class Spools:
    """Temporary files that are used again by batch after batch. Threads may share them."""

    def __init__(self) -> None:
        self._free: list[Spool] = []

    def take(self) -> Spool:
        """An empty one."""
        try:
            spool = self._free.pop()
        except IndexError:
            return Spool()
        spool.size = 0
        return spool

    def give(self, spool: Spool) -> None:
        """What is in it is not needed any more."""
        self._free.append(spool)

    def close(self) -> None:
        """Give the disk back."""
        while self._free:
            self._free.pop().file.close()


class Extent(NamedTuple):
    """Some bytes of a body: ``size`` of them, in ``holder`` from ``at`` on."""

    holder: Holder
    at: int
    size: int


class Body:
    """A request's body: read anew, in large pieces, at each iteration. Never in memory.

    A piece is good until the next one is asked for: they are all read into one buffer. ``bytes()`` makes a copy.

    The last piece is given only if all holders are what they were: a body of a file that was written to meanwhile
    never reaches Vectorize whole, and so is never acknowledged.
    """

    def __init__(self, parts: Sequence[Extent]) -> None:
        self._parts = parts
        self._size = sum(part.size for part in parts)

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(bytes(piece) for piece in self)

    def __iter__(self) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(min(SEND_BYTES, self._size)))
        left = self._size
        for holder, start, size in self._parts:
            at, end = start, start + size
            while at < end:
                read = holder.read_into(buffer[: end - at], at)
                at += read
                left -= read
                if not left:
                    for part in self._parts:
                        part.holder.verify()
                yield buffer[:read]
