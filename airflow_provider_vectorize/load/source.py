"""The source as a load sees it: objects that can be opened at a byte, read as rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.load.ahead import ahead
from airflow_provider_vectorize.load.checkpoint import Done
from airflow_provider_vectorize.load.checks import Check
from airflow_provider_vectorize.load.lines import Mark, Text, read_blocks
from airflow_provider_vectorize.load.rows import Rows, check_rows, without

log = logging.getLogger(__name__)


class SourceObject(Protocol):
    """An object in storage."""

    @property
    def uri(self) -> str:
        """Its name, without credentials."""
        ...

    @property
    def size(self) -> int | None:
        """Its bytes as stored, or ``None`` where the store does not tell."""
        ...

    @property
    def key(self) -> str:
        """Its key, whose end says how it is compressed."""
        ...

    @property
    def encoding(self) -> str:
        """The content encoding in the store's metadata, or nothing. May ask the store, once."""
        ...

    @property
    def identity(self) -> str:
        """What tells it from every other object, whichever store and connection it is of."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the content does: size and ETag or time of modification."""
        ...

    def open(self, offset: int) -> AbstractContextManager[Text]:
        """Its decompressed bytes from ``offset`` on."""
        ...

    def current_version(self) -> str:
        """:attr:`version`, asked for again."""
        ...


def read_rows(objects: Sequence[SourceObject], check: Check, done: Done) -> Iterator[Rows]:
    """The rows that are not dealt with, in the order of the source.

    :raises SourceError: an object cannot be read to its end, or changed while it was read.
    """
    start, gaps = done.start, done.gaps
    for number in range(start.object, len(objects)):
        item = objects[number]
        mark = start if number == start.object else Mark(number)
        empty = not mark.offset
        # A plain file is read ahead by the kernel.
        with item.open(mark.offset) as text, nullcontext(text.stream) if text.file else ahead(text.stream) as stream:
            for block in read_blocks(stream, mark):
                rows = check_rows(block, check)
                empty = empty and not rows.ends and not rows.bad
                if gaps:
                    rows = without(rows, done)
                elif text.file and rows.body is block.data:
                    rows = rows._replace(kept=(text.file, text.start + block.mark.offset))
                yield rows
                del block, rows  # a long line must not stay in memory while the next one is read
        if item.current_version() != item.version:
            raise SourceError(
                f"{item.uri} changed while it was read. Load it again when whoever writes it is done.", uri=item.uri
            )
        if empty:
            log.warning("Skipped an object without rows: %s", item.uri)
