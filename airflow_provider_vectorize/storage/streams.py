"""Read an object of a store as a binary file: in blocks, up to where it really ends, whatever size was reported."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, TypeVar

from airflow_provider_vectorize.storage.errors import raise_storage_errors, store_failure
from airflow_provider_vectorize.storage.store import BLOCK_BYTES, FetchedRange, ObjectChanged, ObjectMissing

T = TypeVar("T")
#: Blocks that are fetched while an earlier one is read. AWS expects 85 to 90 MB/s of each concurrent request to S3.
AHEAD_BLOCKS = 3
#: Seconds to wait before each retry of an interrupted request.
_RETRY_DELAYS = (0.1, 0.5, 2.0, 5.0)
_RETRYABLE_STATUSES = (408, 429, 500, 502, 503, 504)
_INTERRUPTION_ERRORS = (
    "IncompleteRead",
    "HTTPClientError",
    "ResponseParserError",
    "FSTimeoutError",
    "ClientPayloadError",
)


class ObjectStream(io.RawIOBase):
    """The bytes of an object as the store sends them. It requests one block at a time and ends where the store says so.

    :param fetch_range: Returns the bytes between a first byte and the byte after a last one. Threads may call it.
    :param uri: URI of the object, for errors.
    :param ahead_to: Byte before which blocks are fetched ahead, if the object is read in order. Default: none are.
    """

    def __init__(self, fetch_range: Callable[[int, int], FetchedRange], uri: str, *, ahead_to: float = 0) -> None:
        self._fetch_range = fetch_range
        self._uri = uri
        self._position = 0
        self._block, self._block_start = b"", 0
        self._total: int | None = None
        self._read_rest: Callable[[int], bytes] | None = None
        self._ahead = _BlocksAhead(self._fetch_block, ahead_to)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a byte, counted from the start or from the current position."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end of an object is unknown until it is reached")
        self._position = offset + (self._position if whence == io.SEEK_CUR else 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        with raise_storage_errors(self._uri):
            while not self._block_start <= self._position < self._block_start + len(self._block):
                if not self._load_next_block():
                    return 0
        start = self._position - self._block_start
        data = memoryview(self._block)[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._ahead.close()
        super().close()

    def _fetch_block(self, start: int) -> FetchedRange:
        return self._fetch_range(start, start + BLOCK_BYTES)

    def _load_next_block(self) -> bool:
        """Load the block with the current byte, or an earlier one if the store sends the whole object.

        :return: Whether the object has such a block.
        """
        block_end = self._block_start + len(self._block)
        if self._read_rest and self._position >= block_end:
            self._block, self._block_start = self._read_rest(BLOCK_BYTES), block_end
            return bool(self._block)
        if self._total is not None and self._position >= self._total:
            return False
        in_order = self._position == block_end > self._block_start
        self._block = b""  # It is not needed while the next one is fetched.
        fetched = self._ahead.take(self._position)
        self._total, self._read_rest = fetched.total, fetched.read_rest
        self._block, self._block_start = fetched.data, 0 if fetched.read_rest else self._position
        if in_order and fetched.total is not None:
            self._ahead.start(self._position + len(fetched.data), fetched.total)
        return bool(self._block)


class _BlocksAhead:
    """Fetches the next blocks of an object in other threads.

    :param fetch_block: Returns the block that starts at a byte.
    :param end: Byte before which blocks are fetched.
    """

    def __init__(self, fetch_block: Callable[[int], FetchedRange], end: float) -> None:
        self._fetch_block = fetch_block
        self._end = end
        self._threads: ThreadPoolExecutor | None = None
        self._blocks: dict[int, Future[FetchedRange]] = {}

    def take(self, start: int) -> FetchedRange:
        """Return the block that starts at a byte. Wait for it if it is being fetched, or else fetch it now."""
        block = self._blocks.pop(start, None)
        if block:
            return block.result()
        self._forget()
        return self._fetch_block(start)

    def start(self, start: int, total: int) -> None:
        """Start to fetch the blocks from a byte on that are not being fetched yet.

        :param total: Length of the object.
        """
        for position in range(start, start + AHEAD_BLOCKS * BLOCK_BYTES, BLOCK_BYTES):
            if position < min(total, self._end) and position not in self._blocks:
                self._threads = self._threads or ThreadPoolExecutor(AHEAD_BLOCKS, "vectorize-blocks")
                self._blocks[position] = self._threads.submit(self._fetch_block, position)

    def close(self) -> None:
        """Fetch no more. A request that was sent already ends by itself."""
        self._forget()
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _forget(self) -> None:
        for block in self._blocks.values():
            block.cancel()
        self._blocks.clear()


class UnclosableFile(io.RawIOBase):
    """Wraps a file for libraries that close what they have sent: the file itself stays open.

    :param file: A readable and seekable file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def retry_interrupted(request: Callable[[], T]) -> T:
    """Return the result of a request. Retry up to four times if its response is interrupted or the store is busy."""
    for delay in _RETRY_DELAYS:
        try:
            return request()
        except Exception as error:
            if not _is_retryable(error):
                raise
            time.sleep(delay)
    return request()


def _is_retryable(error: Exception) -> bool:
    failure = store_failure(error)
    if failure.status or failure.code:
        return failure.status in _RETRYABLE_STATUSES or failure.code == "SlowDown"
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__name__ in _INTERRUPTION_ERRORS


def range_after_error(error: Exception, start: int) -> FetchedRange:
    """Return an empty range if the requested one starts past the end. Otherwise raise what the store's error means.

    :param error: The error that the store's library raised for the request.
    :param start: First byte of the requested range.
    :raises ObjectChanged: The object has another version now.
    :raises ObjectMissing: The object does not exist.
    """
    failure = store_failure(error)
    if failure.is_past_the_end:
        return FetchedRange(b"", start)
    if failure.is_changed:
        raise ObjectChanged from error
    if failure.is_missing:
        raise ObjectMissing from error
    raise error
