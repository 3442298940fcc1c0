"""Parts of large plain objects: their names, ``s3://bucket/key.ndjson#bytes=START-END``, and their bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.sources.compression import (
    BUFFER_BYTES,
    is_compressed,
    open_source_file,
    refuse_compressed,
)
from airflow_provider_vectorize.sources.lines import BOM, LINE_BYTES, Text

_PART_NAME = re.compile(r"#bytes=([0-9]+)-([0-9]+)$")
#: Bytes of one read during the search for the end of a line. In nearly all sources one read is enough.
SEARCH_BYTES = 64 << 10


class Part(NamedTuple):
    """A byte range of whole lines of an object.

    :param start: Offset of the first byte.
    :param end: Offset after the last byte, as in a slice: one part ends where the next one starts.
    """

    start: int
    end: int


def split_part_name(name: str) -> tuple[str, Part | None]:
    """Split a name into that of the object and the part, or ``None`` if it names a whole object.

    :raises ConfigError: The part is empty, or the object is compressed.
    """
    match = _PART_NAME.search(name)
    if not match:
        return name, None
    whole_name, part = name[: match.start()], Part(int(match[1]), int(match[2]))
    if part.start >= part.end:
        raise ConfigError(
            f"{name} is not a part of an object: in #bytes=START-END, END is the offset after the last byte and must "
            "be greater than START."
        )
    if is_compressed(whole_name):
        raise ConfigError(f"{name} is a part of a compressed object: compressed objects can only be read whole.")
    return whole_name, part


class PartName(str):
    """The name of a part, for messages. It holds the name of the object and the
    range of the part, and is never parsed.

    :param whole_name: Name of the object.
    :param part: The part.
    """

    whole_name: str
    start: int
    end: int

    def __new__(cls, whole_name: str, part: Part) -> PartName:
        name = super().__new__(cls, f"{whole_name}#bytes={part.start}-{part.end}")
        name.whole_name, name.start, name.end = whole_name, part.start, part.end
        return name

    def __reduce__(self) -> tuple[Any, ...]:
        return PartName, (self.whole_name, Part(self.start, self.end))


def object_name(name: str) -> str:
    """Return the name of the object for the name of an object or a part."""
    return name.whole_name if isinstance(name, PartName) else name


def object_offset(name: str, offset: int) -> int:
    """Return an offset from the beginning of the object.

    :param name: Name of an object or a part.
    :param offset: Offset from the beginning of that object or part.
    """
    return offset + (name.start if isinstance(name, PartName) else 0)


def next_line_start(read: Callable[[int, int], bytes], near: int, size: int) -> int:
    """Return the first offset at or after ``near`` at which a line begins, or the size of the object. Uses small reads.

    :param read: Returns the object's bytes from a start to an end, which is exclusive.
    :param near: Offset at which to begin the search, more than 0.
    :param size: Size of the object.
    :raises SourceError: No line ends within :data:`~.lines.LINE_BYTES`, so the object does not hold rows.
    """
    at = near - 1  # If a line ends there, the next one begins at `near`.
    while at < size:
        if at - near > LINE_BYTES:
            raise SourceError(
                f"The source is not ndjson: no line ends in the {LINE_BYTES >> 20} MB after byte {near:,} of an object."
            )
        piece = read(at, min(at + SEARCH_BYTES, size))
        if not piece:
            break
        if line_end := piece.find(b"\n") + 1:
            return at + line_end
        at += len(piece)
    return size


def open_part(raw: Any, name: str, part: Part, offset: int) -> Text:
    """Return the text of a part, from an offset on.

    :param raw: The object as a seekable binary file.
    :param name: Name of the part, for errors.
    :param part: The part.
    :param offset: Offset in the part at which a line begins.
    :raises SourceError: No line begins there, or the object is compressed.
    """
    return Text(PartStream(raw, name, part, offset), open_source_file(raw, name, part.end - part.start), part.start)


class PartStream:
    """Exactly the bytes of a part. If the object changed since it was split, an error is raised instead of half a row.

    :param raw: The object as a seekable binary file.
    :param name: Name of the part, for errors.
    :param part: The part.
    :param offset: Offset in the part at which a line begins.
    :raises SourceError: No line begins there, or the object is compressed.
    """

    def __init__(self, raw: Any, name: str, part: Part, offset: int) -> None:
        self._raw: io.BufferedReader = io.BufferedReader(raw, BUFFER_BYTES)
        self._name = name
        self._remaining = part.end - part.start - offset
        at = part.start + offset
        if not at:
            refuse_compressed(self._raw.peek(4)[:4], name)
        elif self._remaining and not self._seek_line_start(part.start, at):
            raise self._changed(f"no line begins at byte {at:,}")

    def _seek_line_start(self, start: int, at: int) -> bool:
        """Seek to an offset. Return whether a line begins there, or the text of the part after its byte order mark."""
        first = max(at - len(BOM) - 1, 0)
        self._raw.seek(first)
        before = self._raw.read(at - first)
        if at - start == len(BOM) and before.endswith(BOM):
            before, at = before.removesuffix(BOM), start
        return not at or before.endswith(b"\n")

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most ``size``, or nothing at the end of the part.

        :raises SourceError: The object is shorter than the part, or no line ends where the part does.
        """
        if not self._remaining:
            return b""
        piece = self._raw.read(min(size, self._remaining))
        self._remaining -= len(piece)
        if not piece:
            raise self._changed("the object is shorter")
        if not self._remaining and not piece.endswith(b"\n") and self._raw.peek(1):
            raise self._changed("no line ends where the part ends")
        return piece

    def _changed(self, difference: str) -> SourceError:
        return SourceError(
            f"{self._name} is not a part of the current object: {difference}, so it changed after the load was "
            "planned. Plan and load again when it is no longer being written.",
            uri=self._name,
        )
