"""Reading ahead: fetching and unpacking go on while rows are checked."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_vectorize.sources.lines import READ_BYTES, Readable

#: Pieces of :data:`~.lines.READ_BYTES` that may wait to be taken: enough to hide an object store's next answer.
PIECES = 16


class _Ahead:
    """A stream that a thread reads ahead of whoever reads from here."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._pieces: queue.Queue[bytes | BaseException] = queue.Queue(PIECES)
        self._left = b""
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._fetch, name="vectorize-ahead", daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        piece: bytes | BaseException = b""
        while not self._unwanted.is_set():
            try:
                piece = self._stream.read(READ_BYTES)
            except BaseException as error:  # noqa: BLE001 - raised where it is read
                piece = error
            self._pieces.put(piece)
            if not piece or isinstance(piece, BaseException):
                return

    def read(self, size: int, /) -> bytes:
        if not self._left:
            piece = self._pieces.get()
            if isinstance(piece, BaseException) or not piece:
                self._pieces.put(piece)  # for whoever asks again
                if isinstance(piece, BaseException):
                    raise piece
            self._left = piece
        given, self._left = self._left[:size], self._left[size:]
        return given

    def close(self) -> None:
        """Return when the thread does not use the stream any more."""
        self._unwanted.set()
        while self._thread.is_alive():
            try:
                self._pieces.get(timeout=0.05)  # it may wait for room
            except queue.Empty:
                continue


@contextmanager
def ahead(stream: Readable) -> Iterator[Readable]:
    """The same stream, read ahead by a thread. What it raises is raised from here.

    :param stream: used by the thread alone until this ends.
    """
    reader = _Ahead(stream)
    try:
        yield reader
    finally:
        reader.close()
