"""Read the rows of ndjson objects."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from airflow_provider_vectorize.rows.block_rows import Rows, check_rows, shift_lines
from airflow_provider_vectorize.rows.check_settings import CheckSettings
from airflow_provider_vectorize.rows.pending_blocks import PendingBlock, PendingRange
from airflow_provider_vectorize.rows.row_processes import Processes, RowProcesses
from airflow_provider_vectorize.sources.compression import is_compressed, raise_source_errors
from airflow_provider_vectorize.sources.fields import is_partitioned_by
from airflow_provider_vectorize.sources.formats import refuse_parquet
from airflow_provider_vectorize.sources.line_ranges import RangeStream, line_ranges
from airflow_provider_vectorize.sources.lines import Block, Position, Text, read_blocks
from airflow_provider_vectorize.sources.parquet import MAGIC
from airflow_provider_vectorize.sources.parts import next_line_start, object_offset
from airflow_provider_vectorize.sources.places import row_label, row_place
from airflow_provider_vectorize.sources.read_ahead import read_ahead
from airflow_provider_vectorize.sources.source_file import SourceFile
from airflow_provider_vectorize.sources.source_object import SourceObject

log = logging.getLogger(__name__)


class NdjsonReader:
    """Implements :class:`~.reader.RowReader` for ndjson, plain and compressed.

    :param settings: How rows are checked.
    :param processes: Number of processes that check them, see :class:`~.row_processes.RowProcesses`.
    """

    def __init__(self, settings: CheckSettings, processes: Processes = 1) -> None:
        self._check = settings.make_check()
        self._processes = RowProcesses(settings, processes)
        self._may_warn_of_partitions = settings.fields.is_default

    def read(self, source_object: SourceObject, position: Position) -> Iterator[Rows]:
        """Yield the rows of an object from a position on."""
        if self._may_warn_of_partitions and is_partitioned_by(source_object.uri, "namespace"):
            self._may_warn_of_partitions = False
            log.warning(
                "%s is in a folder namespace=…, whose name is not read. Rows without a field namespace get none.",
                source_object.uri,
            )
        with source_object.open(position.offset) as text:
            if text.file and text.is_whole_file:
                yield from self._read_file(text.file, position, source_object.uri)
            else:
                yield from self._read_stream(text, position, source_object.uri)

    def _read_file(self, file: SourceFile, position: Position, uri: str) -> Iterator[Rows]:
        """Yield the rows of a local file. The process that checks them reads them."""
        if not position.offset:
            refuse_parquet(file.read(0, min(len(MAGIC), file.size)), uri)
        self._processes.expect(file.size - position.offset)
        ranges = (
            PendingRange(file, start, end, position._replace(offset=start), self._check)
            for start, end in line_ranges(file, position.offset)
        )
        for pending, finished in self._processes.prepare(ranges):
            if finished:
                rows = shift_lines(finished, position.line - 1)
                yield rows
                position = rows.end
                continue
            for block in read_blocks(RangeStream(file, pending.start, pending.end), position):
                position = block.end
                yield check_rows(block, self._check)
                del block  # A long line must not stay in memory while the next one is read.

    def _read_stream(self, text: Text, position: Position, uri: str) -> Iterator[Rows]:
        # The kernel reads a plain file ahead.
        with nullcontext(text.stream) if text.file else read_ahead(text.stream) as stream:
            blocks = _refuse_parquet(read_blocks(stream, position), uri)
            for pending, rows in self._processes.prepare(PendingBlock(block, self._check) for block in blocks):
                assert rows is not None
                if text.file and rows.text is pending.block.data:
                    yield rows._replace(source_range=(text.file, text.start + pending.block.position.offset))
                else:
                    yield rows
                del pending, rows  # A long line must not stay in memory while the next one is read.

    def close(self) -> None:
        """End the processes that check rows. Any thread may call this."""
        self._processes.close()

    def place(self, uri: str, position: Position) -> str:
        """Name a row at the beginning of a sentence."""
        return row_place(uri, position.line, position.offset)

    def label(self, uri: str, position: Position) -> str:
        """Name a row within a sentence."""
        return row_label(uri, position.line)

    def dead_letter_keys(self, uri: str, position: Position) -> dict[str, Any]:
        """Return what a dead letter says of the place of its row."""
        return {"line": position.line, "offset": object_offset(uri, position.offset)}

    def position_near(self, source_object: SourceObject, stored_offset: int) -> Position:
        """Return the beginning of the next line, or of the object if it is compressed or the line is the last one."""
        if is_compressed(source_object.key, source_object.encoding):
            return Position()
        uri, size = source_object.uri, source_object.size or 0
        first = object_offset(uri, 0)
        with raise_source_errors(uri):
            start = next_line_start(source_object.read, first + stored_offset, first + size) - first
        return Position(offset=start) if start < size else Position()

    def stored_bytes_before(self, source_object: SourceObject, position: Position) -> int:
        """Return the stored bytes before a position. Those of a compressed object count when it is complete."""
        is_plain = not is_compressed(source_object.key, source_object.encoding)
        return min(position.offset, source_object.size or 0) if is_plain else 0


def _refuse_parquet(blocks: Iterator[Block], uri: str) -> Iterator[Block]:
    """Yield the blocks of an object.

    :raises SourceError: The object begins as Parquet does.
    """
    for block in blocks:
        if not object_offset(uri, block.position.offset):
            refuse_parquet(block.data[: len(MAGIC)], uri)
        yield block
        del block  # A long line must not stay in memory while the next one is read.
