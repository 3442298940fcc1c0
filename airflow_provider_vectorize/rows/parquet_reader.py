"""Read the rows of Parquet objects."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.rows.parquet_columns import find_columns
from airflow_provider_vectorize.rows.parquet_rows import ParquetRows, PendingValues
from airflow_provider_vectorize.rows.row_processes import Processes, RowProcesses
from airflow_provider_vectorize.rows.values_text import VALUE_BYTES, ValuesText
from airflow_provider_vectorize.sources.fields import Fields
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.parquet import DecodedRows, ParquetReader, RowGroupRange
from airflow_provider_vectorize.sources.parts import PartName, object_offset
from airflow_provider_vectorize.sources.read_ahead import iterate_ahead
from airflow_provider_vectorize.sources.source_object import SourceObject

#: Bytes of text that rows become at a time. More would take longer, because the operating system has to clear the
#: memory of large texts each time.
_TEXT_BYTES = 512 << 10
#: Rows of several texts are decoded at a time, but not so many that large metadata takes much memory.
_DECODED_TEXTS, _DECODED_ROWS = 8, 1_024


class _RowRange(NamedTuple):
    """The rows of an object or part.

    :param first: Number of the first row in the object, from 0.
    :param rows: Number of rows.
    """

    first: int
    rows: int


class ParquetRowReader:
    """Implements :class:`~.reader.RowReader` for Parquet.

    The line of a position is the number of a row in the object, from 1, and its offset the number of the row group.

    :param fields: Which columns become the fields of a vector.
    :param dimensions: Number of dimensions of the index.
    :param limits: Cloudflare's limits.
    :param float32_text: Whether float64 values are sent as the shortest text of the same float32.
    :param processes: Number of processes that write values as text, see :class:`~.row_processes.RowProcesses`.
    """

    def __init__(
        self, fields: Fields, dimensions: int, limits: Limits, *, float32_text: bool, processes: Processes = 1
    ) -> None:
        self._fields = fields
        self._dimensions = dimensions
        self._limits = limits
        self._float32_text = float32_text
        self._processes = RowProcesses(ValuesText(), processes)
        self._row_ranges: dict[str, _RowRange] = {}
        self._text_rows = min(max(1, _TEXT_BYTES // (VALUE_BYTES * dimensions)), _DECODED_ROWS)

    def read(self, source_object: SourceObject, position: Position) -> Iterator[Rows]:
        """Yield the rows of an object from a position on.

        A part has the row groups that start in its range of bytes.
        """
        uri = source_object.uri
        with source_object.open_file() as file:
            reader = ParquetReader(file, uri)
            columns = find_columns(reader.schema, self._fields, uri)
            rows = ParquetRows(
                columns,
                self._dimensions,
                self._limits,
                float32_text=self._float32_text,
                text_rows=self._text_rows,
            )
            groups = self._row_groups(reader, source_object)
            batch_rows = min(_DECODED_TEXTS * self._text_rows, _DECODED_ROWS)
            with iterate_ahead(reader.read(rows.columns, position.line - 1, groups, batch_rows)) as decoded_rows:
                for _, finished in self._processes.prepare(_check(rows, decoded_rows, position.object)):
                    assert finished is not None
                    yield finished

    def close(self) -> None:
        """End the processes that write values as text. Any thread may call this."""
        self._processes.close()

    def place(self, uri: str, position: Position) -> str:
        """Name a row at the beginning of a sentence."""
        return f"Row {self._number(uri, position)}"

    def label(self, uri: str, position: Position) -> str:
        """Name a row within a sentence."""
        return f"row {self._number(uri, position)}"

    def dead_letter_keys(self, uri: str, position: Position) -> dict[str, Any]:
        """Return what a dead letter says of the place of its row."""
        return {"line": position.line, "row_group": position.offset}

    def position_near(self, source_object: SourceObject, stored_offset: int) -> Position:
        """Return the beginning of the row group that has a stored byte."""
        uri = source_object.uri
        with source_object.open_file() as file:
            reader = ParquetReader(file, uri)
            first, end = self._row_groups(reader, source_object)
            at = bisect_right(reader.row_group_offsets(), object_offset(uri, stored_offset)) - 1
            group = max(first, min(at, end - 1))
            return Position(line=reader.row_group_starts[group] + 1, offset=group)

    def stored_bytes_before(self, source_object: SourceObject, position: Position) -> int:
        """Return the stored bytes before a position, as if all rows of the object or part had the same size."""
        if position.line == 1:
            return 0
        if source_object.identity not in self._row_ranges:  # A load resumes in an object that it has not opened yet.
            self._read_footer(source_object)
        first, rows = self._row_ranges[source_object.identity]
        return (source_object.size or 0) * min(max(position.line - 1 - first, 0), rows) // rows if rows else 0

    def _row_groups(self, reader: ParquetReader, source_object: SourceObject) -> RowGroupRange:
        """Return the row groups of an object or part, and note which rows are in them."""
        uri, starts = source_object.uri, reader.row_group_starts
        whole = RowGroupRange(0, len(starts) - 1)
        groups = reader.row_groups_in(uri.start, uri.end) if isinstance(uri, PartName) else whole
        first = starts[groups.start]
        self._row_ranges[source_object.identity] = _RowRange(first, starts[groups.end] - first)
        return groups

    def _read_footer(self, source_object: SourceObject) -> None:
        try:
            with source_object.open_file() as file:
                self._row_groups(ParquetReader(file, source_object.uri), source_object)
        except VectorizeError:  # The load itself reports the error.
            self._row_ranges[source_object.identity] = _RowRange(0, 0)

    @staticmethod
    def _number(uri: str, position: Position) -> str:
        return f"{position.line:,} of {uri} (row group {position.offset})"


def _check(rows: ParquetRows, decoded_rows: Iterator[DecodedRows], number: int) -> Iterator[PendingValues]:
    for decoded in decoded_rows:
        yield from rows.check(decoded, number)
