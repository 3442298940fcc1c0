"""Split a byte stream into blocks of whole lines that know their position in the source."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from itertools import repeat
from typing import NamedTuple, Protocol

from airflow_provider_vectorize.sources.source_file import SourceFile

#: Bytes of one read. Smaller reads make the threads switch more often. Larger reads do not fit in the processor's cache
#: and make the parser use more memory.
READ_BYTES = 512 << 10
#: Maximum length of a line. A vector is far shorter: 1,536 dimensions of 25 characters and 10 KB of metadata are 50 KB.
LINE_BYTES = 16 << 20
#: Number of bytes to keep of a longer line.
KEPT_LINE_BYTES = 1_000
#: Maximum number of lines in a block. It limits the memory for the line ends if lines are shorter than any row.
BLOCK_LINES = 16_384
BOM = b"\xef\xbb\xbf"

#: Blank lines, from the beginning of a line on.
_BLANK_LINES = re.compile(rb"[ \t\r\n]*\n")
#: The end of a line, followed by so many blank lines that skipping them in bulk is faster than reading them one by one.
_LONG_GAP = re.compile(rb"\n[ \t\r\n]{64,}\n")


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes: ...


class Text(NamedTuple):
    """The decompressed text of an object, from an offset on.

    :param stream: Yields the text.
    :param file: A local file that holds the same bytes, or ``None`` if batches cannot be sent from a file.
    :param start: Offset in ``file`` at which the object begins.
    :param is_whole_file: Whether the object is the whole file, so that other processes can read it as well.
    """

    stream: Readable
    file: SourceFile | None = None
    start: int = 0
    is_whole_file: bool = False


class Position(NamedTuple):
    """A place between two lines of the source. Positions have the order of the source.

    :param object: Index of the object in the source, from 0.
    :param line: Number of the line that follows, from 1.
    :param offset: Byte at which that line begins in the decompressed object.
    """

    object: int = 0
    line: int = 1
    offset: int = 0


class Block(NamedTuple):
    """Whole lines, each with its ``\\n`` except perhaps the last line of the object.

    A block without lines reports a new position after text that was skipped.

    :param data: Bytes of the lines. Bytes after the last end are not part of the block.
    :param position: Where the first line begins.
    :param ends: Where each line ends in ``data``, after its ``\\n``.
    :param overlong: Whether the block is a single line that is too long. ``data`` is then its beginning, and ``ends``
        is empty.
    """

    data: bytes
    position: Position
    ends: list[int]
    overlong: bool = False

    @property
    def text(self) -> bytes:
        """Bytes of the lines only."""
        return self.data if self.overlong else self.data[: self.ends[-1] if self.ends else 0]

    @property
    def end(self) -> Position:
        """Position at which the next block begins."""
        size = self.ends[-1] if self.ends else 0
        return Position(self.position.object, self.position.line + len(self.ends), self.position.offset + size)


def read_blocks(
    stream: Readable, position: Position, *, size: int = READ_BYTES, longest: int = LINE_BYTES
) -> Iterator[Block]:
    """Split a stream into blocks, in constant memory. Only ``\\n`` ends a line.

    A line that is too long is reported by a block of its own as soon as it exceeds the limit. The rest of it is then
    skipped, and an empty block reports where it ended. Blank lines that are skipped in bulk are also followed by an
    empty block.

    :param stream: Stream that is at ``position``.
    :param size: Bytes of one read.
    :param longest: Maximum length of a line in bytes. Not less than ``size``.
    """
    pieces: list[bytes] = []
    held = 0
    skipping = False
    while chunk := stream.read(size):
        first_end = chunk.find(b"\n") + 1
        rest = first_end - 1 if first_end else len(chunk)
        if not skipping and held + rest > longest:
            beginning = _join_beginning([*pieces, chunk[:rest]])
            pieces, skipping = [], True  # The line must not stay in memory while the caller uses its block.
            yield Block(beginning, position, [], overlong=True)
        if skipping:
            if not first_end:
                held += len(chunk)
                continue
            position = Position(position.object, position.line + 1, position.offset + held + first_end)
            yield Block(b"", position, [])
            held, skipping, chunk = 0, False, chunk[first_end:]
        last_end = chunk.rfind(b"\n") + 1
        if last_end:
            # The lines are not assigned to a variable: they must not stay in memory while the next ones are read.
            position = yield from _split_lines(b"".join((*pieces, memoryview(chunk)[:last_end])), position, pieces)
            held = 0
        if last_end < len(chunk):
            pieces.append(chunk[last_end:])
            held += len(chunk) - last_end
    if skipping:
        yield Block(b"", Position(position.object, position.line + 1, position.offset + held), [])
    elif pieces:
        data = b"".join(pieces)
        yield Block(data, position, [len(data)])


def _join_beginning(pieces: list[bytes]) -> bytes:
    """Return the first :data:`KEPT_LINE_BYTES` of a line that is too long."""
    beginning = b""
    for piece in pieces:
        beginning += piece[: KEPT_LINE_BYTES - len(beginning)]
        if len(beginning) == KEPT_LINE_BYTES:
            break
    return beginning


def _split_lines(data: bytes, position: Position, pieces: list[bytes]) -> Generator[Block, None, Position]:
    """Split whole lines into blocks, and return the position at which they end.

    :param data: The lines. Bytes after the last ``\\n`` are not part of them.
    :param pieces: Pieces that were joined to ``data``. They are cleared here to free their memory.
    """
    pieces.clear()
    ends = _line_ends(data)
    if len(ends) < BLOCK_LINES:
        block = Block(data, position, ends)
        position = block.end
        yield block
        return position
    start, size = 0, data.rfind(b"\n") + 1
    for stop in (*(gap.start() + 1 for gap in _LONG_GAP.finditer(data, 0, size)), size):
        while start < stop:
            if blank := _BLANK_LINES.match(data, start, size):
                lines = data.count(b"\n", start, blank.end())
                position = Position(position.object, position.line + lines, position.offset + blank.end() - start)
                start = blank.end()
                yield Block(b"", position, [])
                continue
            rest = data[start:stop]
            ends = _line_ends(rest)
            block = Block(rest[: ends[-1]], position, ends)
            start += ends[-1]
            position = block.end
            yield block
    return position


def make_block(data: bytes, position: Position) -> Block:
    """Return the block of whole lines. Only the last line may have no ``\\n``.

    :param data: The lines, at most :data:`BLOCK_LINES`. If there are more, the block has one more, which is no line.
    :param position: Where the first line begins.
    """
    ends = _line_ends(data)
    if not ends or ends[-1] < len(data):
        ends.append(len(data))
    return Block(data, position, ends)


def _line_ends(data: bytes) -> list[int]:
    """Return where the first :data:`BLOCK_LINES` lines end."""
    find, end = data.find, 0
    ends: list[int] = []
    for _ in repeat(None, BLOCK_LINES):
        end = find(b"\n", end) + 1
        if not end:
            break
        ends.append(end)
    return ends
