"""Read the rows of a source that a load has not processed yet."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.rows.block_rows import Rows, check_rows, unprocessed_rows
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.validation import Check
from airflow_provider_vectorize.sources.lines import Position, read_blocks
from airflow_provider_vectorize.sources.read_ahead import read_ahead
from airflow_provider_vectorize.sources.source_file import changed_message
from airflow_provider_vectorize.sources.source_object import SourceObject

log = logging.getLogger(__name__)


def read_rows(objects: Sequence[SourceObject], check: Check, processed: ProcessedRanges) -> Iterator[Rows]:
    """Yield the rows that are not processed, in the order of the source.

    :param objects: Objects of the source.
    :param check: Check for each row.
    :param processed: Ranges to leave out.
    :raises SourceError: An object cannot be read to its end, or changed while it was read.
    """
    start, has_gaps = processed.resume_position, processed.has_gaps
    for number in range(start.object, len(objects)):
        position = start if number == start.object else Position(number)
        for rows in read_object(objects[number], check, position, keep_source_ranges=not has_gaps):
            yield unprocessed_rows(rows, processed) if has_gaps else rows
            del rows  # A long line must not stay in memory while the next one is read.


def read_object(
    source_object: SourceObject, check: Check, position: Position, *, keep_source_ranges: bool = True
) -> Iterator[Rows]:
    """Yield the rows of one object from a position on.

    :param source_object: The object.
    :param check: Check for each row.
    :param position: Position at which to begin.
    :param keep_source_ranges: Whether batches may be sent from the object's own file.
    :raises SourceError: The object cannot be read to its end, or changed while it was read.
    """
    is_empty = not position.offset
    with (
        source_object.open(position.offset) as text,
        # A plain file needs no thread, because the kernel reads it ahead.
        nullcontext(text.stream) if text.file else read_ahead(text.stream) as stream,
    ):
        for block in read_blocks(stream, position):
            rows = check_rows(block, check)
            is_empty = is_empty and not rows.ends and not rows.bad
            if keep_source_ranges and text.file and rows.body is block.data:
                rows = rows._replace(source_range=(text.file, text.start + block.position.offset))
            yield rows
            del block, rows  # A long line must not stay in memory while the next one is read.
    if source_object.current_version() != source_object.version:
        raise SourceError(changed_message(source_object.uri), uri=source_object.uri)
    if is_empty:
        log.warning("Skipped an object without rows: %s", source_object.uri)
