"""Read an object of a store as a binary file: in blocks, up to where it really ends, whatever size was reported."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import IO, Any, TypeVar

from airflow_provider_vectorize.storage.errors import raise_storage_errors, store_failure
from airflow_provider_vectorize.storage.store import BLOCK_BYTES, FetchedRange, ObjectChanged, ObjectMissing

T = TypeVar("T")
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

    :param fetch_range: Returns the bytes between a first byte and the byte after a last one.
    :param uri: URI of the object, for errors.
    """

    def __init__(self, fetch_range: Callable[[int, int], FetchedRange], uri: str) -> None:
        self._fetch_range = fetch_range
        self._uri = uri
        self._position = 0
        self._block, self._block_start = b"", 0
        self._total: int | None = None
        self._read_rest: Callable[[int], bytes] | None = None

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
        fetched = self._fetch_range(self._position, self._position + BLOCK_BYTES)
        self._total, self._read_rest = fetched.total, fetched.read_rest
        self._block, self._block_start = fetched.data, 0 if fetched.read_rest else self._position
        return bool(self._block)


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
