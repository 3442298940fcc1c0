"""A byte stream, cut into blocks of whole lines that know where they came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from airflow_provider_vectorize.errors import SourceError

#: Bytes of one read. Larger ones gain nothing, smaller ones cost.
READ_BYTES = 1 << 20
#: A line longer than this is no vector: 1,536 dimensions of 25 characters and 10 KB of metadata are 50 KB.
LINE_BYTES = 16 << 20
BOM = b"\xef\xbb\xbf"


class Readable(Protocol):
    """What is asked of a stream."""

    def read(self, size: int, /) -> bytes: ...


class Mark(NamedTuple):
    """A place between two lines of the source. Marks are ordered as the source is.

    :param object: the object's number, from 0.
    :param line: the number of the line that follows, from 1.
    :param offset: the byte at which it begins, in the decompressed object.
    """

    object: int = 0
    line: int = 1
    offset: int = 0


class Block(NamedTuple):
    """Whole lines, each with its ``\\n`` but perhaps the last one of the object.

    :param data: their bytes.
    :param mark: where the first one begins.
    """

    data: bytes
    mark: Mark


def read_blocks(stream: Readable, mark: Mark, uri: str, *, size: int = READ_BYTES) -> Iterator[Block]:
    """Cut a stream into blocks, in constant memory. Only ``\\n`` ends a line.

    :param stream: stands at ``mark``.
    :param uri: the object, for errors.
    :raises SourceError: a line is longer than 16 MB.
    """
    pieces: list[bytes] = []
    held = 0
    while chunk := stream.read(size):
        cut = chunk.rfind(b"\n") + 1
        if cut:
            data = b"".join((*pieces, chunk[:cut])) if pieces else chunk[:cut]
            yield Block(data, mark)
            mark = Mark(mark.object, mark.line + data.count(b"\n"), mark.offset + len(data))
            pieces, held = [], 0
        if cut < len(chunk):
            pieces.append(chunk[cut:])
            held += len(chunk) - cut
        if held > LINE_BYTES:
            raise SourceError(
                f"Line {mark.line} of {uri} is longer than {LINE_BYTES >> 20} MB: this is not ndjson with one vector "
                "a line. Write each vector on a line of its own.",
                uri=uri,
                line=mark.line,
            )
    if pieces:
        yield Block(b"".join(pieces), mark)
