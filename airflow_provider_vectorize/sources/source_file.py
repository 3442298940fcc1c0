"""A plain local file of a source, from which batches are sent directly."""

from __future__ import annotations

import os

from airflow_provider_vectorize.errors import SourceError


class SourceFile:
    """A plain local file of the source. It stays open until no batch needs it.

    :param fd: Descriptor of the open file. It is duplicated.
    :param uri: URI of the file, for errors.
    """

    def __init__(self, fd: int, uri: str) -> None:
        self._fd = os.dup(fd)
        self._uri = uri
        self._opened_state = self._state()

    def __del__(self) -> None:
        os.close(self._fd)

    @property
    def size(self) -> int:
        """Size of the file in bytes when it was opened."""
        return self._opened_state[0]

    def fileno(self) -> int:
        """Return the descriptor, which is open as long as this object exists."""
        return self._fd

    def _state(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_size, status.st_mtime_ns

    def read_into(self, buffer: memoryview, at: int) -> int:
        """Read at least one byte into a buffer, and return the number of bytes.

        :param at: Offset in the file.
        :raises SourceError: The file cannot be read, or it is shorter than before.
        """
        try:
            size = os.preadv(self._fd, [buffer], at)
        except OSError as error:
            raise self._unreadable(error) from error
        if not size:
            raise self._changed()
        return size

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from a start to an end, which is exclusive.

        :raises SourceError: As for :meth:`read_into`.
        """
        try:
            data = read_range(self._fd, start, end)
        except OSError as error:
            raise self._unreadable(error) from error
        if data is None:
            raise self._changed()
        return data

    def verify(self) -> None:
        """Raise if the file was written to since it was opened.

        :raises SourceError: Size or modification time differ.
        """
        if self._state() != self._opened_state:
            raise self._changed()

    def _unreadable(self, error: OSError) -> SourceError:
        return SourceError(f"{self._uri} cannot be read: {error.strerror or error}.", uri=self._uri)

    def _changed(self) -> SourceError:
        return SourceError(changed_message(self._uri), uri=self._uri)


def read_range(fd: int, start: int, end: int) -> bytes | None:
    """Return the bytes of an open file from a start to an end, which is exclusive, or ``None`` if it has fewer bytes.

    :raises OSError: The file cannot be read.
    """
    pieces = []
    while start < end:
        piece = os.pread(fd, end - start, start)
        if not piece:
            return None
        pieces.append(piece)
        start += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def changed_message(uri: str) -> str:
    """Return the text of the error that an object changed during the load."""
    return f"{uri} changed while it was read. Load it again when it is no longer being written."
