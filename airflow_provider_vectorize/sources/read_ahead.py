"""Read a stream or an iterator ahead in a thread, so that fetching and decoding overlap with the checks of rows."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from airflow_provider_vectorize.sources.lines import READ_BYTES, Readable

T = TypeVar("T")
#: Maximum number of reads of :data:`~.lines.READ_BYTES` in the queue: enough to hide the latency of an object store.
QUEUED_READS = 16


class _Ahead(Generic[T]):
    """An iterator that a thread runs ahead of the caller."""

    def __init__(self, items: Iterator[T], queued: int) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[T] | BaseException] = queue.Queue(queued)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._fetch, name="vectorize-ahead", daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        while not self._stopped.is_set():
            try:
                # The item has no name here, so that it is not kept in memory while the next one is made.
                self._queue.put((next(self._items),))
            except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
                self._queue.put(error)
                return

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        item = self._queue.get()
        if isinstance(item, BaseException):
            self._queue.put(item)  # The next call gets the same end or error.
            raise item
        return item[0]

    def close(self) -> None:
        """Stop the thread, and return once it no longer uses the iterator."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)  # The thread may be waiting for room in the queue.
            except queue.Empty:
                continue


@contextmanager
def iterate_ahead(items: Iterator[T], queued: int = 2) -> Iterator[Iterator[T]]:
    """Return the same iterator, run ahead by a thread. Its errors are raised where the caller takes the next item.

    :param items: Iterator. Only the thread uses it until the context ends.
    :param queued: Maximum number of items that wait for the caller.
    """
    ahead = _Ahead(items, queued)
    try:
        yield ahead
    finally:
        ahead.close()


class _AheadStream:
    """A stream whose reads were made ahead."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._remaining = b""

    def read(self, size: int, /) -> bytes:
        if not self._remaining:
            self._remaining = next(self._pieces, b"")
        data, self._remaining = self._remaining[:size], self._remaining[size:]
        return data


@contextmanager
def read_ahead(stream: Readable) -> Iterator[Readable]:
    """Return the same stream, read ahead by a thread. Errors of the stream are raised by the caller's ``read()``.

    :param stream: Stream to read. Only the thread uses it until the context ends.
    """
    with iterate_ahead(iter(lambda: stream.read(READ_BYTES), b""), QUEUED_READS) as pieces:
        yield _AheadStream(pieces)
