"""A part of a large plain object: its name, ``s3://bucket/key.ndjson#bytes=START-END``, and its bytes."""

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

_NAMED = re.compile(r"#bytes=([0-9]+)-([0-9]+)$")
#: Bytes of one read around a cut, which ends a line in nearly all sources.
SEARCH_BYTES = 64 << 10


class Part(NamedTuple):
    """Whole lines of an object.

    :param start: the first byte.
    :param end: the byte after the last one, as in a slice: one part's end is the next one's start.
    """

    start: int
    end: int


def split_part_name(name: str) -> tuple[str, Part | None]:
    """The object that a name means, and which part of it.

    :raises ConfigError: it is a part that cannot be.
    """
    found = _NAMED.search(name)
    if not found:
        return name, None
    whole, part = name[: found.start()], Part(int(found[1]), int(found[2]))
    if part.start >= part.end:
        raise ConfigError(f"{name} is no part of an object: bytes=START-END, and END is the first byte after it.")
    if is_compressed(whole):
        raise ConfigError(f"{name} is no part that can be read alone: compressed objects are read whole.")
    return whole, part


class PartName(str):
    """The name of a part for people, which knows what it is a part of. It is never parsed.

    :param whole: the object's name.
    :param part: which part.
    """

    whole: str
    start: int

    def __new__(cls, whole: str, part: Part) -> PartName:
        text = super().__new__(cls, f"{whole}#bytes={part.start}-{part.end}")
        text.whole, text.start = whole, part.start
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        part = Part(self.start, int(self.rpartition("-")[2]))
        return PartName, (self.whole, part)


def object_name(name: str) -> str:
    """The object that a name means."""
    return name.whole if isinstance(name, PartName) else name


def object_offset(name: str, offset: int) -> int:
    """The byte of the object at which an offset stands, which counts from where the part begins."""
    return offset + (name.start if isinstance(name, PartName) else 0)


def next_line_start(read: Callable[[int, int], bytes], near: int, size: int) -> int:
    """The nearest byte at or after another one at which a line begins, or the object's size, by small reads.

    :param read: gives the object's bytes from a first to before a last one.
    :param near: more than 0.
    :param size: the object's.
    :raises SourceError: there is none for so long that these are no rows.
    """
    at = near - 1  # where a line ends there, the next one begins at `near`
    while at < size:
        if at - near > LINE_BYTES:
            raise SourceError(f"No line ends in the {LINE_BYTES >> 20} MB from byte {near:,} on: this is no ndjson.")
        piece = read(at, min(at + SEARCH_BYTES, size))
        if not piece:
            break
        if found := piece.find(b"\n") + 1:
            return at + found
        at += len(piece)
    return size


def open_part(raw: Any, name: str, part: Part, offset: int) -> Text:
    """The text of a part, from a byte of it on.

    :param raw: the object as a binary file that can be sought.
    :param name: the part's.
    :raises SourceError: no line begins where it should, or the object is compressed.
    """
    return Text(PartStream(raw, name, part, offset), open_source_file(raw, name, part.end - part.start), part.start)


class PartStream:
    """Exactly the bytes of a part. It gives no half row of an object that changed since it was cut.

    :param raw: the object as a binary file that can be sought.
    :param name: the part's.
    :param offset: of the part, at which a line begins.
    :raises SourceError: no line begins where it should, or the object is compressed.
    """

    def __init__(self, raw: Any, name: str, part: Part, offset: int) -> None:
        self._raw: io.BufferedReader = io.BufferedReader(raw, BUFFER_BYTES)
        self._name = name
        self._left = part.end - part.start - offset
        at = part.start + offset
        if not at:
            refuse_compressed(self._raw.peek(4)[:4], name)
        elif self._left and not self._begins_line(part.start, at):
            raise self._changed(f"no line begins at byte {at:,}")

    def _begins_line(self, start: int, at: int) -> bool:
        """Go to a byte. Return whether a line begins there, or the text of the part behind its byte order mark."""
        first = max(at - len(BOM) - 1, 0)
        self._raw.seek(first)
        before = self._raw.read(at - first)
        if at - start == len(BOM) and before.endswith(BOM):
            before, at = before.removesuffix(BOM), start
        return not at or before.endswith(b"\n")

    def read(self, size: int, /) -> bytes:
        """The next bytes, fewer at the end.

        :raises SourceError: the object is shorter, or no line ends where the part does.
        """
        if not self._left:
            return b""
        piece = self._raw.read(min(size, self._left))
        self._left -= len(piece)
        if not piece:
            raise self._changed("it is shorter")
        if not self._left and not piece.endswith(b"\n") and self._raw.peek(1):
            raise self._changed("no line ends there")
        return piece

    def _changed(self, what: str) -> SourceError:
        return SourceError(
            f"{self._name} is no part of the object as it is now: {what}, so it changed since the load was planned. "
            "Plan and load again when whoever writes it is done.",
            uri=self._name,
        )
