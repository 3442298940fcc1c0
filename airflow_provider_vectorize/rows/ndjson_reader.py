"""Read the rows of ndjson objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from airflow_provider_vectorize.rows.block_rows import Rows, check_rows
from airflow_provider_vectorize.rows.validation import Check
from airflow_provider_vectorize.sources.compression import is_compressed
from airflow_provider_vectorize.sources.formats import refuse_parquet
from airflow_provider_vectorize.sources.lines import Position, read_blocks
from airflow_provider_vectorize.sources.parquet import MAGIC
from airflow_provider_vectorize.sources.parts import object_offset
from airflow_provider_vectorize.sources.places import row_label, row_place
from airflow_provider_vectorize.sources.read_ahead import read_ahead
from airflow_provider_vectorize.sources.source_object import SourceObject


class NdjsonReader:
    """Implements :class:`~.reader.RowReader` for ndjson, plain and compressed.

    :param check: Checks each row. It is used by one thread.
    """

    def __init__(self, check: Check) -> None:
        self._check = check

    def read(self, source_object: SourceObject, position: Position) -> Iterator[Rows]:
        """Yield the rows of an object from a position on."""
        # The kernel reads a plain file ahead.
        with (
            source_object.open(position.offset) as text,
            nullcontext(text.stream) if text.file else read_ahead(text.stream) as stream,
        ):
            for block in read_blocks(stream, position):
                if not object_offset(source_object.uri, block.position.offset):
                    refuse_parquet(block.data[: len(MAGIC)], source_object.uri)
                rows = check_rows(block, self._check)
                if text.file and rows.body is block.data:
                    rows = rows._replace(source_range=(text.file, text.start + block.position.offset))
                yield rows
                del block, rows  # a long line must not stay in memory while the next one is read

    def place(self, uri: str, position: Position) -> str:
        """Name a row at the beginning of a sentence."""
        return row_place(uri, position.line, position.offset)

    def label(self, uri: str, position: Position) -> str:
        """Name a row within a sentence."""
        return row_label(uri, position.line)

    def dead_letter_keys(self, uri: str, position: Position) -> dict[str, Any]:
        """Return what a dead letter says of the place of its row."""
        return {"line": position.line, "offset": object_offset(uri, position.offset)}

    def stored_bytes_before(self, source_object: SourceObject, position: Position) -> int:
        """Return the stored bytes before a position. Those of a compressed object count when it is complete."""
        is_plain = not is_compressed(source_object.key, source_object.encoding)
        return min(position.offset, source_object.size or 0) if is_plain else 0
