"""An object of a store as a binary file: read in blocks, to its real end, whatever size the store reported."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import IO, Any, TypeVar

from airflow_provider_vectorize.storage.errors import explained, said
from airflow_provider_vectorize.storage.store import BLOCK_BYTES, Answer, Changed, Missing

T = TypeVar("T")
#: Seconds to wait before each further attempt at a request whose answer was cut.
_WAITS = (0.1, 0.5, 2.0, 5.0)
_CUT = ("IncompleteRead", "HTTPClientError", "ResponseParserError", "FSTimeoutError", "ClientPayloadError")


class ObjectStream(io.RawIOBase):
    """Bytes as they travel. It knows its end when the store says so, and asks for one block at a time.

    :param fetch: gives the bytes from a first to before a last one.
    :param uri: the object's, for errors.
    """

    def __init__(self, fetch: Callable[[int, int], Answer], uri: str) -> None:
        self._fetch = fetch
        self._uri = uri
        self._at = 0
        self._block, self._block_at = b"", 0
        self._total: int | None = None
        self._rest: Callable[[int], bytes] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a byte, counted from the beginning or from here."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end of an object is known when it is reached")
        self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        with explained(self._uri):
            while not self._block_at <= self._at < self._block_at + len(self._block):
                if not self._next_block():
                    return 0
        start = self._at - self._block_at
        piece = memoryview(self._block)[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _next_block(self) -> bool:
        """Fetch the block that holds the current byte, or one on the way to it; whether there is one."""
        end = self._block_at + len(self._block)
        if self._rest and self._at >= end:
            self._block, self._block_at = self._rest(BLOCK_BYTES), end
            return bool(self._block)
        if self._total is not None and self._at >= self._total:
            return False
        answer = self._fetch(self._at, self._at + BLOCK_BYTES)
        self._total, self._rest = answer.total, answer.rest
        self._block, self._block_at = answer.data, 0 if answer.rest else self._at
        return bool(self._block)


class KeptOpen(io.RawIOBase):
    """A file for a library that closes what it has sent: the file itself stays open.

    :param file: that can be read and sought.
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
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def patiently(action: Callable[[], T]) -> T:
    """The result of a request. One whose answer was cut on its way is made again some times."""
    for wait in _WAITS:
        try:
            return action()
        except Exception as error:
            if not _is_cut(error):
                raise
            time.sleep(wait)
    return action()


def _is_cut(error: Exception) -> bool:
    answer = said(error)
    if answer.status or answer.code:
        return answer.status in (408, 429, 500, 502, 503, 504) or answer.code == "SlowDown"
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__name__ in _CUT


def answer_of_refusal(error: Exception, start: int) -> Answer:
    """Return the answer for a range that begins behind the end, or raise what the store's refusal means.

    :param error: What the store's library raised for a range.
    :param start: The first byte of the range.
    :raises Changed: The object is of another version now.
    :raises Missing: The object does not exist.
    """
    answer = said(error)
    if answer.is_past_the_end:
        return Answer(b"", start)
    if answer.is_changed:
        raise Changed from error
    if answer.is_missing:
        raise Missing from error
    raise error
