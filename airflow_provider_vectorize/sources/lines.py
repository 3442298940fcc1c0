"""A byte stream, cut into blocks of whole lines that know where they came from."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Generator, Iterator
from itertools import repeat
from typing import NamedTuple, Protocol, cast

from airflow_provider_vectorize.sources.source_file import SourceFile

#: Bytes of one read. With smaller ones the threads hand the interpreter to each other more often; larger ones leave the
#: processor's cache, and the parser's memory grows with them.
READ_BYTES = 512 << 10
#: A line longer than this is no vector: 1,536 dimensions of 25 characters and 10 KB of metadata are 50 KB.
LINE_BYTES = 16 << 20
#: Bytes that are kept of such a line.
KEPT_LINE_BYTES = 1_000
#: Lines of one block at most, so that what is kept for each line stays small where lines are shorter than any row.
BLOCK_LINES = 16_384
BOM = b"\xef\xbb\xbf"

#: Blank lines, from the beginning of a line on.
_BLANK_LINES = re.compile(rb"[ \t\r\n]*\n")
#: The end of a line and so many blank lines after it that skipping them all costs less than reading them one by one.
_LONG_GAP = re.compile(rb"\n[ \t\r\n]{64,}\n")


class Readable(Protocol):
    """What is asked of a stream."""

    def read(self, size: int, /) -> bytes: ...


class Text(NamedTuple):
    """The text of an object, from a place in it on.

    :param stream: gives it.
    :param file: a file that holds the very same bytes, and keeps them, …
    :param start: … the object's first one here.
    """

    stream: Readable
    file: SourceFile | None = None
    start: int = 0


class Position(NamedTuple):
    """A place between two lines of the source. Marks are ordered as the source is.

    :param object: the object's number, from 0.
    :param line: the number of the line that follows, from 1.
    :param offset: the byte at which it begins, in the decompressed object.
    """

    object: int = 0
    line: int = 1
    offset: int = 0


class Block(NamedTuple):
    """Whole lines, each with its ``\\n`` except perhaps the last line of the object.

    :param data: their bytes; what follows the last end does not belong to them.
    :param position: where the first one begins.
    :param ends: where each ends in ``data``, after its ``\\n``.
    :param overlong: this is one line only, too long to be kept: ``data`` is its beginning, and it has no end.
    """

    data: bytes
    position: Position
    ends: list[int]
    overlong: bool = False

    @property
    def text(self) -> bytes:
        """The lines, and nothing else."""
        return self.data if self.overlong else self.data[: self.ends[-1] if self.ends else 0]

    @property
    def end(self) -> Position:
        """Where the next one begins."""
        size = self.ends[-1] if self.ends else 0
        return Position(self.position.object, self.position.line + len(self.ends), self.position.offset + size)


def read_blocks(
    stream: Readable, position: Position, *, size: int = READ_BYTES, longest: int = LINE_BYTES
) -> Iterator[Block]:
    """Cut a stream into blocks, in constant memory. Only ``\\n`` ends a line.

    A line that is too long is announced as soon as that is known, by a block of its own, and then skipped: an empty
    block tells where it ended. So it does after blank lines that are skipped in bulk.

    :param stream: stands at ``position``.
    :param size: bytes of one read.
    :param longest: bytes that a line may have, not less than ``size``.
    """
    # To read the beginning of a line twice costs less than to copy everything that stands before it.
    again = isinstance(stream, io.FileIO)
    pieces: list[bytes] = []
    held = 0
    skipping = False
    while chunk := stream.read(size):
        first = chunk.find(b"\n") + 1
        rest = first - 1 if first else len(chunk)
        if not skipping and held + rest > longest:
            begin = _begin([*pieces, chunk[:rest]])
            pieces, skipping = [], True  # nothing of the line is held while its block is used
            yield Block(begin, position, [], overlong=True)
        if skipping:
            if not first:
                held += len(chunk)
                continue
            position = Position(position.object, position.line + 1, position.offset + held + first)
            yield Block(b"", position, [])
            held, skipping, chunk = 0, False, chunk[first:]
        cut = chunk.rfind(b"\n") + 1
        if cut:
            # The lines have no name here: they must not stay in memory while the next ones are read.
            position = yield from _blocks(
                chunk if again and not pieces else b"".join((*pieces, memoryview(chunk)[:cut])), position, pieces
            )
            held = 0
        if cut and again:
            cast(io.FileIO, stream).seek(cut - len(chunk), os.SEEK_CUR)
        elif cut < len(chunk):
            pieces.append(chunk[cut:])
            held += len(chunk) - cut
    if skipping:
        yield Block(b"", Position(position.object, position.line + 1, position.offset + held), [])
    elif pieces:
        data = b"".join(pieces)
        yield Block(data, position, [len(data)])


def _begin(pieces: list[bytes]) -> bytes:
    """What is kept of a line that is too long."""
    begin = b""
    for piece in pieces:
        begin += piece[: KEPT_LINE_BYTES - len(begin)]
        if len(begin) == KEPT_LINE_BYTES:
            break
    return begin


def _blocks(data: bytes, position: Position, pieces: list[bytes]) -> Generator[Block, None, Position]:
    """Cut whole lines into blocks, and return where they end.

    :param data: the lines; what follows the last ``\\n`` does not belong to them.
    :param pieces: of these lines, which are not needed any more.
    """
    pieces.clear()
    ends = _newlines(data)
    if len(ends) < BLOCK_LINES:
        block = Block(data, position, ends)
        position = block.end
        yield block
        return position
    at, size = 0, data.rfind(b"\n") + 1
    for stop in (*(gap.start() + 1 for gap in _LONG_GAP.finditer(data, 0, size)), size):
        while at < stop:
            if blank := _BLANK_LINES.match(data, at, size):
                lines = data.count(b"\n", at, blank.end())
                position = Position(position.object, position.line + lines, position.offset + blank.end() - at)
                at = blank.end()
                yield Block(b"", position, [])
                continue
            part = data[at:stop]
            ends = _newlines(part)
            block = Block(part[: ends[-1]], position, ends)
            at += ends[-1]
            position = block.end
            yield block
    return position


def _newlines(data: bytes) -> list[int]:
    """Where the first lines end, at most :data:`BLOCK_LINES` of them."""
    find, at = data.find, 0
    ends: list[int] = []
    for _ in repeat(None, BLOCK_LINES):
        at = find(b"\n", at) + 1
        if not at:
            break
        ends.append(at)
    return ends
