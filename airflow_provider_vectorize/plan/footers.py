"""Read what a plan needs to know from the footers of Parquet objects: rows and places of row groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_vectorize.sources.parquet import ParquetReader
from airflow_provider_vectorize.sources.source_object import SourceObject

#: Bytes of one request to an object store. Most footers are shorter.
READ_BYTES = 512 << 10


@dataclass(frozen=True)
class Footer:
    """Rows and places of the row groups of an object.

    :param row_starts: The number of the first row of each row group, and the number of all rows.
    :param offsets: The first stored byte of each row group, in ascending order.
    :param stored_bytes: Size of the object as stored.
    """

    row_starts: Sequence[int]
    offsets: Sequence[int]
    stored_bytes: int

    @property
    def rows(self) -> int:
        """Return the number of rows of the object."""
        return self.row_starts[-1]

    def cuts(self, text_size: int) -> list[int]:
        """Return where the text of the object can be split, as if all rows had the same size.

        :param text_size: Bytes of the text of the whole object.
        """
        return sorted(self._stored_bytes_of_cuts(text_size))

    def stored_byte(self, cut: int, text_size: int) -> int:
        """Return the first stored byte of the row group that begins at a cut, or that of the beginning or the end."""
        if cut in (0, text_size):
            return 0 if not cut else self.stored_bytes
        return self._stored_bytes_of_cuts(text_size)[cut]

    def _stored_bytes_of_cuts(self, text_size: int) -> dict[int, int]:
        cuts: dict[int, int] = {}
        for number in range(1, len(self.offsets)):
            rows_before, offset = self.row_starts[number], self.offsets[number]
            # A part has all row groups that begin in it, so row groups that begin at the same byte stay together.
            cut = round(text_size * rows_before / self.rows) if self.rows else 0
            if 0 < cut < text_size and offset > self.offsets[number - 1]:
                cuts.setdefault(cut, offset)
        return cuts


def footer_of(reader: ParquetReader, stored_bytes: int) -> Footer:
    """Return the footer of an open object."""
    return Footer(reader.row_group_starts, reader.row_group_offsets(), stored_bytes)


def read_footer(surveyed: SourceObject) -> Footer:
    """Read the footer of an object with one or two small requests.

    :raises SourceError: The object is not a complete Parquet file.
    """
    with surveyed.open_file(READ_BYTES) as file:
        return footer_of(ParquetReader(file, surveyed.uri), surveyed.size or 0)
