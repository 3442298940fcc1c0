"""Read a stream ahead in a thread, so that it is fetched and decompressed while rows are checked."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_vectorize.sources.lines import READ_BYTES, Readable

#: Maximum number of reads of :data:`~.lines.READ_BYTES` in the queue: enough to hide the latency of an object store.
QUEUED_READS = 16


class _ReadAhead:
    """A stream that a thread reads ahead of the caller."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._queue: queue.Queue[bytes | BaseException] = queue.Queue(QUEUED_READS)
        self._remaining = b""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._fetch, name="vectorize-ahead", daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        piece: bytes | BaseException = b""
        while not self._stopped.is_set():
            try:
                piece = self._stream.read(READ_BYTES)
            except BaseException as error:  # noqa: BLE001 - read() raises it in the caller's thread
                piece = error
            self._queue.put(piece)
            if not piece or isinstance(piece, BaseException):
                return

    def read(self, size: int, /) -> bytes:
        if not self._remaining:
            piece = self._queue.get()
            if isinstance(piece, BaseException) or not piece:
                self._queue.put(piece)  # The next call gets the same end or error.
                if isinstance(piece, BaseException):
                    raise piece
            self._remaining = piece
        data, self._remaining = self._remaining[:size], self._remaining[size:]
        return data

    def close(self) -> None:
        """Stop the thread, and return once it no longer uses the stream."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)  # The thread may be waiting for room in the queue.
            except queue.Empty:
                continue


@contextmanager
def read_ahead(stream: Readable) -> Iterator[Readable]:
    """Return the same stream, read ahead by a thread. Errors of the stream are raised by the caller's ``read()``.

    :param stream: Stream to read. Only the thread uses it until the context ends.
    """
    reader = _ReadAhead(stream)
    try:
        yield reader
    finally:
        reader.close()
