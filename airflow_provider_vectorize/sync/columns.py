"""The IDs of a generation as a Parquet file, which DuckDB, pandas and Polars can query.

The columns are ``id``, ``key`` (xxh3 of the ID, ascending), ``hash`` (of the row that the index holds, 0 if that is not
known) and ``object`` (number of the object in ``current.json``, null if the ID has left the source).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np

from airflow_provider_vectorize.load.bodies import open_temporary_file
from airflow_provider_vectorize.rows.hashing import sync_packages
from airflow_provider_vectorize.sync.folder import StateFolder, damaged
from airflow_provider_vectorize.sync.state import ColumnsFile
from airflow_provider_vectorize.sync.table import DELETED, NO_OBJECT, SEEN, IdTable

_READ_BYTES = 1 << 20
#: Number of IDs that are read at a time.
_BATCH = 1 << 16


def _pyarrow() -> Any:
    with sync_packages():
        import pyarrow.parquet  # noqa: PLC0415 - only a sync needs this package
    return pyarrow


def write_columns(folder: StateFolder, name: str, table: IdTable, kept_objects: np.ndarray) -> ColumnsFile:
    """Write the IDs that stay known to a new file in the state's folder.

    :param name: Name of the file.
    :param table: The IDs.
    :param kept_objects: For each object number, and at the end for :data:`NO_OBJECT`, whether IDs that were not seen
        keep their object, because the object was skipped.
    :raises SourceError: The file cannot be written.
    """
    parquet = _pyarrow().parquet
    count = 0
    with open_temporary_file(_READ_BYTES) as file:
        with parquet.ParquetWriter(
            file,
            _schema(),
            use_dictionary=["object"],
            compression={"id": "zstd", "key": "zstd", "hash": "none", "object": "zstd"},
            compression_level={"id": 1, "key": 1, "object": 1},
            column_encoding={"id": "DELTA_LENGTH_BYTE_ARRAY", "key": "DELTA_BINARY_PACKED", "hash": "PLAIN"},
            write_statistics=["key"],
        ) as writer:
            for chunk in _chunks(table, kept_objects):
                writer.write_table(chunk, row_group_size=_BATCH)
                count += len(chunk)
        columns = _measured(name, count, file)
        file.seek(0)
        folder.write(name, file)
    return columns


def _schema() -> Any:
    pa = _pyarrow()
    return pa.schema([
        pa.field("id", pa.string(), nullable=False),
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("hash", pa.uint64(), nullable=False),
        pa.field("object", pa.int32()),
    ])


def _chunks(table: IdTable, kept_objects: np.ndarray) -> Iterator[Any]:
    pa = _pyarrow()
    for positions in table.sorted_chunks():
        flags = table.flags[positions]
        kept = positions[(flags & SEEN != 0) | (flags & DELETED == 0)]
        objects = table.objects[kept]
        has_object = (table.flags[kept] & SEEN != 0) | kept_objects[objects]
        objects = np.where(has_object, objects, NO_OBJECT)
        yield pa.Table.from_arrays(
            [
                _id_array(table, kept),
                _number_array(pa.uint64(), table.keys[kept]),
                _number_array(pa.uint64(), table.hashes[kept]),
                _number_array(pa.int32(), objects, objects != NO_OBJECT),
            ],
            schema=_schema(),
        )


# ---------------------------------------------------------------- arrays

# Arrays are made from buffers and read from them. pa.array() and to_numpy() import pandas, which takes a second.


def _number_array(kind: Any, numbers: np.ndarray, is_valid: np.ndarray | None = None) -> Any:
    pa = _pyarrow()
    validity = None if is_valid is None else pa.py_buffer(np.packbits(is_valid, bitorder="little"))
    return pa.Array.from_buffers(kind, len(numbers), [validity, pa.py_buffer(np.ascontiguousarray(numbers))])


def _numbers(array: Any, dtype: Any) -> np.ndarray:
    """Return the numbers of an array. Those of nulls are :data:`NO_OBJECT`."""
    validity, data = array.buffers()
    rows = slice(array.offset, array.offset + len(array))
    numbers = np.frombuffer(data, dtype)[rows]
    if validity is None:
        return numbers
    is_valid = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")[rows]
    return np.where(is_valid, numbers, NO_OBJECT)


def _text_array(texts: Sequence[str]) -> Any:
    pa = _pyarrow()
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, encoded), np.int32, len(encoded)), out=offsets[1:])
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def _id_array(table: IdTable, positions: np.ndarray) -> Any:
    """Return IDs as an array of Arrow. IDs of the state are read together, because they are neighbors."""
    pa = _pyarrow()
    state = np.flatnonzero(positions < table.state_ids)
    if not len(state):
        return _text_array(table.ids(positions))
    first, stop = int(positions[state[0]]), int(positions[state[-1]]) + 1
    data, offsets = table.id_bytes(first, stop)
    neighbors = pa.StringArray.from_buffers(stop - first, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data))
    others = np.flatnonzero(positions >= table.state_ids)
    if not len(others):
        return neighbors.take(_number_array(pa.int64(), positions - first))
    combined = pa.concat_arrays([neighbors, _text_array(table.ids(positions[others]))])
    order = positions - first
    order[others] = np.arange(len(others)) + (stop - first)
    return combined.take(_number_array(pa.int64(), order))


def _measured(name: str, ids: int, file: IO[bytes]) -> ColumnsFile:
    file.seek(0)
    digest, size = hashlib.sha256(), 0
    while piece := file.read(_READ_BYTES):
        digest.update(piece)
        size += len(piece)
    return ColumnsFile(name, ids, size, digest.hexdigest())


def read_columns(folder: StateFolder, columns: ColumnsFile) -> Iterator[Any]:
    """Yield the IDs of a generation as record batches of Arrow, after the checksum of the file was verified.

    :raises SourceError: The file is missing, damaged, or cannot be read.
    """
    pa = _pyarrow()
    with open_temporary_file(_READ_BYTES) as file:
        if not folder.download(columns.name, file):
            raise damaged(folder, columns.name, "it is missing although current.json refers to it")
        found = _measured(columns.name, columns.ids, file)
        if found != columns:
            raise damaged(folder, columns.name, f"its checksum is {found.sha256}, not {columns.sha256}")
        file.seek(0)
        with pa.parquet.ParquetFile(file, buffer_size=_READ_BYTES, pre_buffer=False) as parquet:
            yield from parquet.iter_batches(_BATCH, use_threads=False)


def load_table(folder: StateFolder, columns: ColumnsFile, table: IdTable, new_numbers: np.ndarray) -> None:
    """Add the IDs of a generation to an empty table.

    :param new_numbers: For each object of the generation, its number in the source of this run, or :data:`NO_OBJECT`.
        The last item is :data:`NO_OBJECT`, for IDs without an object.
    :raises SourceError: The file is missing, damaged, or cannot be read.
    """
    for batch in read_columns(folder, columns):
        ids = batch.column("id")
        _, offsets_buffer, data_buffer = ids.buffers()
        offsets = np.frombuffer(offsets_buffer, np.int32)[ids.offset : ids.offset + len(ids) + 1]
        data = memoryview(data_buffer)[offsets[0] : offsets[-1]] if data_buffer else b""
        table.load(
            data,
            offsets[1:].astype(np.int64) - int(offsets[0]),
            _numbers(batch.column("key"), np.uint64),
            _numbers(batch.column("hash"), np.uint64),
            new_numbers[_numbers(batch.column("object"), np.int32)],
        )
