"""Read the rows of a source that are not processed yet."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.rows.block_rows import Rows, unprocessed_rows
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.source_file import changed_message
from airflow_provider_vectorize.sources.source_object import SourceObject

log = logging.getLogger(__name__)


class RowReader(Protocol):
    """Reads the rows of objects that have one format, and names positions in them. One thread may read."""

    def read(self, source_object: SourceObject, position: Position) -> Iterator[Rows]:
        """Yield the rows of an object from a position on.

        :raises SourceError: The object cannot be read to its end.
        """
        ...

    def close(self) -> None:
        """End what reads or checks in the background. Any thread may call this."""
        ...

    def place(self, uri: str, position: Position) -> str:
        """Name a row at the beginning of a sentence."""
        ...

    def label(self, uri: str, position: Position) -> str:
        """Name a row within a sentence."""
        ...

    def dead_letter_keys(self, uri: str, position: Position) -> dict[str, Any]:
        """Return what a dead letter says of the place of its row."""
        ...

    def position_near(self, source_object: SourceObject, stored_offset: int) -> Position:
        """Return the position near a stored byte from which the object can be read without reading all before it.

        :return: The position, as if the object were the first one of the source. The beginning of a compressed object.
        :raises SourceError: The object cannot be read.
        """
        ...

    def stored_bytes_before(self, source_object: SourceObject, position: Position) -> int:
        """Return about how many of the object's stored bytes are before a position. Any thread may ask."""
        ...


def read_rows(objects: Sequence[SourceObject], reader: RowReader, processed: ProcessedRanges) -> Iterator[Rows]:
    """Yield the rows of a source that are not processed yet, in order.

    :param objects: The source, in order.
    :param reader: Reads objects of this format.
    :param processed: The ranges that are processed.
    :raises SourceError: An object cannot be read to its end, or it changed while it was read.
    """
    start, has_gaps = processed.resume_position, processed.has_gaps
    for number in range(start.object, len(objects)):
        position = start if number == start.object else Position(number)
        for rows in read_object(objects[number], reader, position):
            yield unprocessed_rows(rows, processed) if has_gaps else rows
            del rows  # A long line must not stay in memory while the next one is read.


def read_object(source_object: SourceObject, reader: RowReader, position: Position) -> Iterator[Rows]:
    """Yield the rows of one object from a position on.

    :raises SourceError: The object cannot be read to its end, or it changed while it was read.
    """
    is_empty = position == Position(position.object)
    try:
        for rows in reader.read(source_object, position):
            is_empty = is_empty and not rows.ends and not rows.bad
            yield rows
            del rows  # A long line must not stay in memory while the next one is read.
    except SourceError as error:
        # An object that is replaced while it is read looks damaged.
        if source_object.current_version() in ("gone", source_object.version):
            raise
        raise SourceError(changed_message(source_object.uri), uri=source_object.uri) from error
    if source_object.current_version() != source_object.version:
        raise SourceError(changed_message(source_object.uri), uri=source_object.uri)
    if is_empty:
        log.warning("Skipped an object without rows: %s", source_object.uri)
