"""Describe a request body as byte ranges of files: the source's own file, or a temporary one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple, Protocol

from airflow_provider_vectorize.errors import VectorizeError

#: Bytes of one read of a body. At each read, a sender competes with the reader for the interpreter.
SEND_BYTES = 2 << 20


@contextmanager
def temporary_file_errors() -> Iterator[None]:
    """Raise errors of temporary files as one sentence that says what to do.

    They do not stay an ``OSError``, because while a request is sent that would count as a lost connection, which is
    retried.

    :raises VectorizeError: The temporary directory is full or cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise VectorizeError(
            f"The temporary directory {tempfile.gettempdir()} cannot be used: {error.strerror or error}. A load needs "
            "space for max_in_flight + 2 batches of up to 100 MB each, and for its bad rows. Free some space, set "
            "TMPDIR to a directory on another disk, or lower max_in_flight."
        ) from error


def open_temporary_file(buffering: int = 0) -> IO[bytes]:
    """Open a file without a name, which disappears with the process, also if that is killed.

    :param buffering: Bytes of the buffer, as for :func:`open`. Default: none.
    :raises VectorizeError: The temporary directory cannot be used.
    """
    with temporary_file_errors():
        return tempfile.TemporaryFile(buffering=buffering)


class BodyFile(Protocol):
    """A file that holds bytes of a body, which can be read any number of times."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read bytes from an offset on into a buffer, at least one, and return how many were read."""
        ...

    def verify(self) -> None:
        """Raise if the file may have changed since its rows were checked."""


class BatchFile:
    """Hold the bytes of a batch in a temporary file.

    A later batch overwrites the file from its beginning, so that the operating system need not allocate it again.
    """

    def __init__(self) -> None:
        self.file = open_temporary_file()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes.

        :raises VectorizeError: The temporary directory is full.
        """
        view = memoryview(data)
        with temporary_file_errors():
            while view:
                written = os.pwrite(self.file.fileno(), view, self.size)
                view, self.size = view[written:], self.size + written

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read bytes from an offset on into a buffer, at least one, and return how many were read.

        :raises VectorizeError: The file cannot be read, or ends before the offset.
        """
        with temporary_file_errors():
            size = os.preadv(self.file.fileno(), [buffer], offset)
            if not size:
                raise OSError("the file of a batch is shorter than it was")
        return size

    def verify(self) -> None:
        """Do nothing, because no other process can write to the file."""


class BatchFilePool:
    """Reuse temporary files for batch after batch. Threads may share a pool."""

    def __init__(self) -> None:
        self._free: list[BatchFile] = []

    def acquire(self) -> BatchFile:
        """Return an empty file.

        :raises VectorizeError: A new file is needed, and the temporary directory cannot be used.
        """
        try:
            file = self._free.pop()
        except IndexError:
            return BatchFile()
        file.size = 0
        return file

    def release(self, file: BatchFile) -> None:
        """Take a file back whose bytes are no longer needed."""
        self._free.append(file)

    def close(self) -> None:
        """Close the files that are not in use, which frees their disk space."""
        while self._free:
            self._free.pop().file.close()


class FileRange(NamedTuple):
    """Consecutive bytes of a file: ``size`` bytes from ``start`` on."""

    file: BodyFile
    start: int
    size: int


class Body:
    """Read a request body from files, in large chunks, again at each iteration. It is never in memory as a whole.

    A chunk is valid until the next one is requested, because all of them are read into one buffer. ``bytes()`` makes a
    copy.

    The last chunk follows only if no file has changed. A body from a file that was modified meanwhile therefore never
    reaches Vectorize completely, and is never acknowledged.

    :param ranges: The bytes of the body, in order.
    """

    def __init__(self, ranges: Sequence[FileRange]) -> None:
        self._ranges = ranges
        self._size = sum(file_range.size for file_range in ranges)

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(bytes(chunk) for chunk in self)

    def __iter__(self) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(min(SEND_BYTES, self._size)))
        remaining = self._size
        for file, start, size in self._ranges:
            offset, end = start, start + size
            while offset < end:
                count = file.read_into(buffer[: end - offset], offset)
                offset += count
                remaining -= count
                if not remaining:
                    for file_range in self._ranges:
                        file_range.file.verify()
                yield buffer[:count]
