"""Read Parquet objects in bounded memory: a few rows at a time, whatever the size of a row group."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.sources.compression import detect_suffix

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

#: The first and the last bytes of every Parquet object.
MAGIC = b"PAR1"
#: Magic of objects whose footer is encrypted.
ENCRYPTED_MAGIC = b"PARE"
#: Default number of rows that are decoded at a time.
BATCH_ROWS = 256
#: Bytes of one read of a column's pages.
_BUFFER_BYTES = 1 << 20


class RowGroupRange(NamedTuple):
    """Whole row groups of a Parquet object.

    :param start: Number of the first row group, from 0.
    :param end: Number after the last one.
    """

    start: int
    end: int


class DecodedRows(NamedTuple):
    """Rows that were decoded together. All belong to one row group.

    :param batch: The rows.
    :param row_group: Number of their row group, from 0.
    :param first: Number of the first row in the object, from 0.
    """

    batch: pa.RecordBatch
    row_group: int
    first: int


class ParquetReader:
    """One Parquet object, open for reading.

    :param file: A file with ``read``, ``seek`` and ``tell``. Parts of it are read in any order.
    :param uri: Name of the object, for errors.
    :raises SourceError: The object is not a complete Parquet file, or it is encrypted.
    :raises ConfigError: pyarrow is not installed.
    """

    def __init__(self, file: Any, uri: str) -> None:
        self._uri = uri
        parquet = _library(uri)
        with readable(uri), _not_compressed(file, uri):
            self._file: pq.ParquetFile = parquet.ParquetFile(
                file, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
            )
        metadata = self._file.metadata
        self.schema: pa.Schema = self._file.schema_arrow
        #: Number of rows in the object.
        self.rows: int = metadata.num_rows
        #: Number of the first row of each row group, and the number of all rows.
        self.row_group_starts = [0]
        for number in range(metadata.num_row_groups):
            self.row_group_starts.append(self.row_group_starts[-1] + metadata.row_group(number).num_rows)

    def row_group_offsets(self) -> list[int]:
        """Return the first byte of each row group, in ascending order.

        A row group that is stored before one with a lower number counts as if both began at the same byte.
        """
        metadata = self._file.metadata
        groups = map(metadata.row_group, range(metadata.num_row_groups))
        return list(accumulate(map(_first_byte, groups), max))

    def row_groups_in(self, start: int, end: int) -> RowGroupRange:
        """Return the row groups that start in a range of bytes. Adjacent ranges share none and leave none out.

        :param start: First byte of the range.
        :param end: Byte after the last one.
        """
        offsets = self.row_group_offsets()
        return RowGroupRange(bisect_left(offsets, start), bisect_left(offsets, end))

    def read(
        self,
        columns: list[str],
        start: int = 0,
        groups: RowGroupRange | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> Iterator[DecodedRows]:
        """Yield rows from a row on.

        A row group is decoded from its beginning, because its pages can only be decoded in order.

        :param columns: Names of the top-level columns to decode.
        :param start: Number of the first row in the object, from 0.
        :param groups: The row groups to read. Default: all.
        :param batch_rows: Maximum number of rows to decode at a time.
        :raises SourceError: The object is damaged.
        """
        first, end = (0, len(self.row_group_starts) - 1) if groups is None else groups
        for group in range(first, end):
            at, stop = self.row_group_starts[group], self.row_group_starts[group + 1]
            if stop <= start:
                continue
            with readable(self._uri):
                batches = self._file.iter_batches(batch_rows, row_groups=[group], columns=columns, use_threads=False)
            while batch := self._next(batches):
                skipped = min(max(start - at, 0), len(batch))
                if skipped < len(batch):
                    yield DecodedRows(batch.slice(skipped), group, at + skipped)
                at += len(batch)
                del batch
            if at != stop:
                raise SourceError(f"{self._uri} is damaged: row group {group} has fewer rows than its footer says.")

    def _next(self, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
        with readable(self._uri):
            return next(batches, None)


def _first_byte(group: pq.RowGroupMetaData) -> int:
    column = group.column(0)
    return int(min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset))


@contextmanager
def _not_compressed(file: Any, uri: str) -> Iterator[None]:
    """Raise a better error if a file is compressed, and therefore not Parquet.

    :raises SourceError: The block raised an error, and the file is compressed.
    """
    try:
        yield
    except Exception as error:
        file.seek(0)
        if suffix := detect_suffix(file.read(4)):
            raise SourceError(
                f"{uri} is compressed as a whole ({suffix}), and not only inside: decompress it, and load the result.",
                uri=uri,
                permanent=True,
            ) from error
        raise


@contextmanager
def readable(uri: str) -> Iterator[None]:
    """Turn errors of pyarrow into one sentence.

    :raises SourceError: The object is not a Parquet file, cut off, damaged or encrypted.
    """
    import pyarrow as pa  # noqa: PLC0415 - only Parquet needs it

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and isinstance(error.__cause__ or error.__context__, SourceError):
            raise error.__cause__ or error.__context__ from None  # type: ignore[misc]
        reason, permanent = _reason(str(error))
        raise SourceError(f"{uri} cannot be read as Parquet: {reason}.", uri=uri, permanent=permanent) from error


def _reason(text: str) -> tuple[str, bool]:
    """Return what a message of pyarrow means, and whether it is certain that the object is no longer being written."""
    first = " ".join(text.split("\n", maxsplit=1)[0].split()).rstrip(".")
    if "magic bytes not found" in first:
        return "it does not end as a Parquet file does, so it is cut off or has another format", False
    if "size is 0" in first or "smaller than the minimum" in first:
        return "it is too short to be a Parquet file", False
    if "crypt" in first:  # "encrypted", "decrypt"
        return "it is encrypted, which is not supported", True
    if "Expected all lists to be of size" in first:
        return (
            "it has a null in a column of fixed-size lists, which pyarrow can read from version 26 on: update it",
            True,
        )
    return f"it is damaged ({first})", False


def _library(uri: str) -> Any:
    try:
        import pyarrow.parquet  # noqa: PLC0415 - only Parquet needs it
    except ImportError:
        raise ConfigError(
            f"{uri} is Parquet, and pyarrow is not installed: install airflow-provider-vectorize[parquet]."
        ) from None
    return pyarrow.parquet
