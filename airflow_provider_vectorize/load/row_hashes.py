"""Count distinct IDs, zero vectors and duplicates of a load. The hashes of the rows stay on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

import numpy as np

from airflow_provider_vectorize.load.bodies import open_temporary_file, temporary_file_errors

#: Hash of the values of a zero vector. Other vectors never have it.
ZERO = np.uint64(0)
#: Rows that are compared together. Each takes about 50 bytes of memory.
_PART_ROWS = 1 << 21
_CHUNK_ROWS = 1 << 20


class Counts(NamedTuple):
    """What the rows of a load have in common. If rows share an ID, only the last one counts.

    :param rows: Number of rows.
    :param distinct_ids: Number of different IDs.
    :param zero_vectors: Number of vectors whose values are all zero.
    :param duplicates: Number of other vectors whose values an earlier vector with another ID has.
    """

    rows: int
    distinct_ids: int
    zero_vectors: int
    duplicates: int


class RowHashes:
    """Keeps 16 bytes of each row in a temporary file: the hash of the ID, and that of the values."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._rows = 0

    def add(self, id_hashes: np.ndarray, value_hashes: np.ndarray) -> None:
        """Add rows.

        :param id_hashes: Hashes of the IDs, of 64 bits.
        :param value_hashes: Hashes of the values, or :data:`ZERO` for zero vectors.
        :raises VectorizeError: The temporary directory cannot be used.
        """
        self._file = self._file or open_temporary_file()
        with temporary_file_errors():
            left = memoryview(np.stack([id_hashes, value_hashes], axis=1).astype(np.uint64).tobytes())
            while left:
                left = left[self._file.write(left) :]
        self._rows += len(id_hashes)

    def count(self) -> Counts:
        """Return the counts of all rows, and delete the file.

        :raises VectorizeError: The temporary directory cannot be used.
        """
        if self._file is None:
            return Counts(0, 0, 0, 0)
        with temporary_file_errors(), self._file as file:
            pairs = np.memmap(file, np.uint64, "r", shape=(self._rows, 2))
            counts = count_rows(pairs[:, 0], pairs[:, 1])
            del pairs
        self._file = None
        return counts


def count_rows(id_hashes: np.ndarray, value_hashes: np.ndarray, part_rows: int = _PART_ROWS) -> Counts:
    """Return the counts of rows.

    :param part_rows: Rows that are compared together.
    """
    rows = len(id_hashes)
    is_last = np.zeros(rows, bool)
    for positions in _parts(rows, part_rows, lambda chunk: id_hashes[chunk]):
        hashes = id_hashes[positions]
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        ends = np.ones(len(ordered), bool)
        ends[:-1] = ordered[1:] != ordered[:-1]
        is_last[positions[order[ends]]] = True
    zeros = duplicates = 0
    for positions in _parts(rows, part_rows, lambda chunk: value_hashes[chunk]):
        hashes = value_hashes[positions[is_last[positions]]]
        others = hashes[hashes != ZERO]
        zeros += len(hashes) - len(others)
        duplicates += len(others) - len(np.unique(others))
    return Counts(rows, int(np.count_nonzero(is_last)), zeros, duplicates)


def _parts(rows: int, part_rows: int, hashes_of: Callable[[slice], np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the numbers of the rows in parts, such that rows with equal hashes are in one part, in their order."""
    parts = max(1, -(-rows // part_rows))
    for part in range(parts):
        found = [
            first + np.flatnonzero(hashes_of(slice(first, first + _CHUNK_ROWS)) % np.uint64(parts) == part)
            for first in range(0, rows, _CHUNK_ROWS)
        ]
        yield np.concatenate(found) if found else np.empty(0, np.int64)
