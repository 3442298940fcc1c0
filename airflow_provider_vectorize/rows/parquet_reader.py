"""Read the rows of Parquet objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.rows.parquet_columns import find_columns
from airflow_provider_vectorize.rows.parquet_rows import ParquetRows
from airflow_provider_vectorize.sources.fields import Fields
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.parquet import ParquetReader
from airflow_provider_vectorize.sources.parts import PartName
from airflow_provider_vectorize.sources.read_ahead import iterate_ahead
from airflow_provider_vectorize.sources.source_object import SourceObject


class ParquetRowReader:
    """Implements :class:`~.reader.RowReader` for Parquet.

    The line of a position is the number of a row in the object, from 1, and its offset the number of the row group.

    :param fields: Which columns become the fields of a vector.
    :param dimensions: Number of dimensions of the index.
    :param limits: Cloudflare's limits.
    :param float32_text: Whether float64 values are sent as the shortest text of the same float32.
    """

    def __init__(self, fields: Fields, dimensions: int, limits: Limits, *, float32_text: bool) -> None:
        self._fields = fields
        self._dimensions = dimensions
        self._limits = limits
        self._float32_text = float32_text
        self._row_counts: dict[str, int] = {}

    def read(self, source_object: SourceObject, position: Position) -> Iterator[Rows]:
        """Yield the rows of an object from a position on.

        A part has the row groups that start in its range of bytes.
        """
        uri = source_object.uri
        with source_object.open_file() as file:
            reader = ParquetReader(file, uri)
            self._row_counts[source_object.identity] = reader.rows
            columns = find_columns(reader.schema, self._fields, uri)
            rows = ParquetRows(columns, self._dimensions, self._limits, float32_text=self._float32_text)
            groups = reader.row_groups_in(uri.start, uri.end) if isinstance(uri, PartName) else None
            with iterate_ahead(reader.read(rows.columns, position.line - 1, groups)) as decoded_rows:
                for decoded in decoded_rows:
                    yield rows.check(decoded, position.object)

    def place(self, uri: str, position: Position) -> str:
        """Name a row at the beginning of a sentence."""
        return f"Row {self._number(uri, position)}"

    def label(self, uri: str, position: Position) -> str:
        """Name a row within a sentence."""
        return f"row {self._number(uri, position)}"

    def dead_letter_keys(self, uri: str, position: Position) -> dict[str, Any]:
        """Return what a dead letter says of the place of its row."""
        return {"line": position.line, "row_group": position.offset}

    def stored_bytes_before(self, source_object: SourceObject, position: Position) -> int:
        """Return the stored bytes before a position, as if all rows had the same size."""
        rows = self._row_counts.get(source_object.identity)
        return (source_object.size or 0) * min(position.line - 1, rows) // rows if rows else 0

    @staticmethod
    def _number(uri: str, position: Position) -> str:
        return f"{position.line:,} of {uri} (row group {position.offset})"
