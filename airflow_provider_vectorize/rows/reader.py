"""The source as a load sees it: objects that can be opened at a byte, read as rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.rows.block_rows import Rows, check_rows, without
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.validation import Check
from airflow_provider_vectorize.sources.lines import Position, read_blocks
from airflow_provider_vectorize.sources.read_ahead import read_ahead
from airflow_provider_vectorize.sources.source_object import SourceObject

log = logging.getLogger(__name__)


def read_rows(objects: Sequence[SourceObject], check: Check, done: ProcessedRanges) -> Iterator[Rows]:
    """The rows that are not dealt with, in the order of the source.

    :raises SourceError: an object cannot be read to its end, or changed while it was read.
    """
    start, gaps = done.resume_position, done.has_gaps
    for number in range(start.object, len(objects)):
        item = objects[number]
        position = start if number == start.object else Position(number)
        empty = not position.offset
        # A plain file is read ahead by the kernel.
        with (
            item.open(position.offset) as text,
            nullcontext(text.stream) if text.file else read_ahead(text.stream) as stream,
        ):
            for block in read_blocks(stream, position):
                rows = check_rows(block, check)
                empty = empty and not rows.ends and not rows.bad
                if gaps:
                    rows = without(rows, done)
                elif text.file and rows.body is block.data:
                    rows = rows._replace(source_range=(text.file, text.start + block.position.offset))
                yield rows
                del block, rows  # a long line must not stay in memory while the next one is read
        if item.current_version() != item.version:
            raise SourceError(
                f"{item.uri} changed while it was read. Load it again when whoever writes it is done.", uri=item.uri
            )
        if empty:
            log.warning("Skipped an object without rows: %s", item.uri)
