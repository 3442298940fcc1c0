"""A plain local file of a source, from which batches are sent directly."""

from __future__ import annotations

import os

from airflow_provider_vectorize.errors import SourceError


class SourceFile:
    """A plain local file of the source, open for as long as a batch is to be sent from it.

    :param fd: the file, open; it is duplicated.
    :param uri: its name.
    """

    def __init__(self, fd: int, uri: str) -> None:
        self._fd = os.dup(fd)
        self._uri = uri
        self._as_opened = self._state()

    def __del__(self) -> None:
        os.close(self._fd)

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._fd)
        return found.st_size, found.st_mtime_ns

    def read_into(self, buffer: memoryview, at: int) -> int:
        """Some bytes; at least one.

        :raises SourceError: they are not there any more.
        """
        try:
            size = os.preadv(self._fd, [buffer], at)
        except OSError as error:
            raise SourceError(f"{self._uri} cannot be read: {error.strerror or error}.", uri=self._uri) from error
        if not size:
            raise self._changed()
        return size

    def verify(self) -> None:
        """Look whether it was written to.

        :raises SourceError: it was.
        """
        if self._state() != self._as_opened:
            raise self._changed()

    def _changed(self) -> SourceError:
        return SourceError(
            f"{self._uri} changed while it was read. Load it again when whoever writes it is done.", uri=self._uri
        )
