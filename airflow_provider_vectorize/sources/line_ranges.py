"""Split a local file into ranges of whole lines without reading all of it."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_vectorize.sources.lines import READ_BYTES
from airflow_provider_vectorize.sources.source_file import SourceFile

#: Bytes of one read during the search for the end of a line. In most sources one read is enough.
_SEARCH_BYTES = 32 << 10


def line_ranges(file: SourceFile, start: int, *, size: int = READ_BYTES) -> Iterator[tuple[int, int]]:
    """Yield where each range begins, and where it ends, which is exclusive.

    :param file: The file.
    :param start: Where the first line begins.
    :param size: Maximum bytes of a range. A longer line is a range of its own.
    :raises SourceError: The file cannot be read, or it is shorter than when it was opened.
    """
    while start < file.size:
        end = _range_end(file, start, min(start + size, file.size))
        yield start, end
        start = end


def _range_end(file: SourceFile, start: int, limit: int) -> int:
    """Return the last line end up to a limit, or the first one after it. The end of the file also ends a line."""
    end = file.size
    if limit == end:
        return end
    at = limit
    while at > start:
        first = max(at - _SEARCH_BYTES, start)
        if found := file.read(first, at).rfind(b"\n") + 1:
            return first + found
        at = first
    while limit < end:
        stop = min(limit + READ_BYTES, end)
        if found := file.read(limit, stop).find(b"\n") + 1:
            return limit + found
        limit = stop
    return end


class RangeStream:
    """The bytes of a file from a start to an end, as a stream."""

    def __init__(self, file: SourceFile, start: int, end: int) -> None:
        self._file = file
        self._at = start
        self._end = end

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most ``size``, or nothing at the end.

        :raises SourceError: The file cannot be read, or it is shorter than when it was opened.
        """
        start = self._at
        self._at = min(start + size, self._end)
        return self._file.read(start, self._at) if start < self._at else b""
