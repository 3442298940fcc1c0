"""The source as the load sees it: objects that can be opened at a byte, read as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.load.batches import End
from airflow_provider_vectorize.load.checkpoint import Done
from airflow_provider_vectorize.load.lines import Mark, Readable, read_blocks
from airflow_provider_vectorize.load.vectors import BadRow, Checker, GoodRow


class SourceObject(Protocol):
    """An object in storage."""

    @property
    def uri(self) -> str:
        """Its name, without credentials."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the content does: size and ETag or time of modification."""
        ...

    def open(self, offset: int) -> AbstractContextManager[Readable]:
        """Its decompressed bytes from ``offset`` on."""
        ...

    def current_version(self) -> str:
        """:attr:`version`, asked for again."""
        ...


def read_rows(objects: Sequence[SourceObject], checker: Checker, done: Done) -> Iterator[GoodRow | BadRow | End]:
    """The rows that are not dealt with, in the order of the source.

    :raises SourceError: an object cannot be read to its end, or changed while it was read.
    """
    start = done.start
    for number, item in enumerate(objects):
        if number < start.object:
            continue
        mark = start if number == start.object else Mark(number)
        skip = len(done.ranges) > 1
        with item.open(mark.offset) as stream:
            for block in read_blocks(stream, mark, item.uri):
                for row in checker.rows(block):
                    if not skip or not done.covers(row.mark):
                        yield row
                mark = Mark(number, block.mark.line + block.data.count(b"\n") + 1, block.mark.offset + len(block.data))
        if item.current_version() != item.version:
            raise SourceError(
                f"{item.uri} changed while it was read. Load it again when whoever writes it is done.", uri=item.uri
            )
        yield End(mark)
