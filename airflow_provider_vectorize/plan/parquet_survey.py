"""Survey a source of Parquet: count its rows in the footers, and decode a few rows from places all over it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import IO, Any

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.plan.footers import READ_BYTES, Footer, footer_of
from airflow_provider_vectorize.plan.survey import Survey, SurveyedObject
from airflow_provider_vectorize.rows.parquet_columns import find_columns
from airflow_provider_vectorize.rows.parquet_rows import ParquetRows
from airflow_provider_vectorize.sources.fields import Fields
from airflow_provider_vectorize.sources.parquet import ParquetReader, RowGroupRange

#: Maximum number of footers that are read. Of a source with more objects, the other rows are estimated by their bytes.
MAX_FOOTERS = 64
#: Maximum number of row groups of which rows are decoded, and number of rows of all of them together.
ROW_GROUPS = 8
ROWS = 128
#: Bytes after which no further row group is decoded. Some writers make pages of 100 MB, and a page is read whole.
MAX_BYTES = 64 << 20


def survey_parquet(objects: Sequence[SurveyedObject], fields: Fields, dimensions: int, limits: Limits) -> Survey:
    """Read the footers of up to 64 objects, and the first rows of up to 8 row groups, spread evenly over the rows.

    Rows can only be decoded from the beginning of a row group. Those of an object with one row group are therefore its
    first ones.

    :param objects: The source, in order.
    :param fields: Which columns become the fields of a vector.
    :param dimensions: Dimensions of the index.
    :param limits: Cloudflare's limits.
    :raises SourceError: An object cannot be read, lacks a column, or none of the objects has a row.
    """
    count = min(len(objects), MAX_FOOTERS)
    chosen = [len(objects) * n // count for n in range(count)]
    footers = {number: _checked_footer(objects[number], fields) for number in chosen}
    if not any(footer.rows for footer in footers.values()):
        names = objects[0].uri + (f" and {len(objects) - 1} more" if len(objects) > 1 else "")
        raise SourceError(
            f"The source is empty: the footers of {names} count no rows. Nothing was planned.", uri=objects[0].uri
        )
    rows = _decode_rows(objects, _spread_row_groups(footers), fields, dimensions, limits)
    return Survey(
        rows=tuple(rows),
        row_bytes=sum(map(len, rows)) / len(rows),
        text_ratios=(),
        row_counts=_count_rows(objects, footers),
        footers=footers,
    )


def _checked_footer(surveyed: SurveyedObject, fields: Fields) -> Footer:
    """Return the footer of an object that has the columns of a vector.

    :raises SourceError: The object is not a complete Parquet file, or lacks a column.
    """
    with surveyed.open_file(READ_BYTES) as file:
        reader = ParquetReader(file, surveyed.uri)
        find_columns(reader.schema, fields, surveyed.uri)
        return footer_of(reader, surveyed.size or 0)


def _spread_row_groups(footers: Mapping[int, Footer]) -> dict[int, list[int]]:
    """Return row groups, spread evenly over all rows, by the number of their object. Each has rows."""
    numbers = list(footers)
    starts = list(accumulate((footer.rows for footer in footers.values()), initial=0))
    row_groups: dict[int, list[int]] = {}
    for row in sorted({starts[-1] * n // ROW_GROUPS for n in range(ROW_GROUPS)}):
        at = bisect_right(starts, row) - 1
        group = bisect_right(footers[numbers[at]].row_starts, row - starts[at]) - 1
        found = row_groups.setdefault(numbers[at], [])
        if group not in found:
            found.append(group)
    return row_groups


def _decode_rows(
    objects: Sequence[SurveyedObject],
    row_groups: Mapping[int, Sequence[int]],
    fields: Fields,
    dimensions: int,
    limits: Limits,
) -> list[bytes]:
    """Return the first rows of row groups, until :data:`MAX_BYTES` are read."""
    rows_per_group = -(-ROWS // sum(map(len, row_groups.values())))
    rows: list[bytes] = []
    bytes_read = 0
    for number, groups in row_groups.items():
        surveyed = objects[number]
        with surveyed.open_file(READ_BYTES) as file:
            counted = _CountedFile(file)
            reader = ParquetReader(counted, surveyed.uri)
            to_rows = ParquetRows(find_columns(reader.schema, fields, surveyed.uri), dimensions, limits)
            for group in groups:
                if rows and bytes_read + counted.bytes_read > MAX_BYTES:
                    return rows
                rows += _first_rows(reader, group, to_rows, rows_per_group)
        bytes_read += counted.bytes_read
    return rows


class _CountedFile:
    """A file that counts the bytes that are read.

    :param file: The file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.bytes_read = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.bytes_read += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _first_rows(reader: ParquetReader, group: int, to_rows: ParquetRows, count: int) -> list[bytes]:
    """Return the first rows of a row group as they are sent, each with its newline. Bad rows follow the good ones."""
    decoded = next(reader.read(to_rows.columns, 0, RowGroupRange(group, group + 1), count))
    pieces = [pending.finish() for pending in to_rows.check(decoded, 0)]
    good = [line for rows in pieces for line in rows.body.splitlines(keepends=True)]
    return good + [bad.text + b"\n" for rows in pieces for bad in rows.bad]


def _count_rows(objects: Sequence[SurveyedObject], footers: Mapping[int, Footer]) -> tuple[float, ...]:
    """Return the number of rows of each object. Without a footer, it is estimated by the bytes of the object."""
    per_byte = sum(footer.rows for footer in footers.values()) / sum(footer.stored_bytes for footer in footers.values())
    return tuple(
        footers[number].rows if number in footers else (surveyed.size or 0) * per_byte
        for number, surveyed in enumerate(objects)
    )
