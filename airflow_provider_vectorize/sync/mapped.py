"""NumPy columns in files, so that millions of IDs take disk and page cache instead of memory."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from airflow_provider_vectorize.load.bodies import open_temporary_file, temporary_file_errors

#: Minimum number of items of a column.
_MIN_ITEMS = 4_096
#: A column that is full grows by this factor.
_GROWTH = 1.5
_ZEROS = memoryview(bytes(1 << 16))
_TOO_SHORT = "the file of the IDs is shorter than it was"


class MappedColumn:
    """A column of numbers in a file without a name, which can grow.

    :param dtype: Type of the numbers.
    """

    def __init__(self, dtype: Any) -> None:
        self._file = open_temporary_file()
        self._dtype = np.dtype(dtype)
        self._size = 0
        self.items: np.ndarray = np.empty(0, self._dtype)  #: All items that have room. Those that are not set are 0.
        self.reserve(1)

    def close(self) -> None:
        """Close the file. The items exist as long as somebody uses them."""
        self._file.close()

    def reserve(self, count: int) -> None:
        """Make room for a number of items.

        :raises VectorizeError: The temporary directory is full.
        """
        if count <= self._size:
            return
        start, self._size = self._size, max(count, int(self._size * _GROWTH), _MIN_ITEMS)
        with temporary_file_errors():
            self._write_zeros(start * self._dtype.itemsize, self._size * self._dtype.itemsize)
            self.items = np.asarray(np.memmap(self._file, self._dtype, "r+", shape=(self._size,)))

    def _write_zeros(self, start: int, end: int) -> None:
        """Extend the file. On a full disk, writing to memory without room in the file would end this process."""
        while start < end:
            start += os.pwrite(self._file.fileno(), _ZEROS[: end - start], start)


class IdFile:
    """IDs as UTF-8 text in a file without a name, one after the other."""

    def __init__(self) -> None:
        self._file = open_temporary_file()
        self._ends = MappedColumn(np.uint64)
        self._count = 0
        self._bytes = 0

    def close(self) -> None:
        """Close the files, which deletes them."""
        self._file.close()
        self._ends.close()

    def append(self, data: bytes | memoryview, ends: np.ndarray) -> None:
        """Append IDs.

        :param data: The bytes of all of them.
        :param ends: Where each ends in ``data``.
        :raises VectorizeError: The temporary directory is full.
        """
        self._ends.reserve(self._count + len(ends))
        self._ends.items[self._count : self._count + len(ends)] = ends.astype(np.uint64) + np.uint64(self._bytes)
        view = memoryview(data)
        with temporary_file_errors():
            self._file.seek(self._bytes)
            while view:
                view = view[self._file.write(view) :]
        self._count += len(ends)
        self._bytes += len(data)

    def __getitem__(self, position: int) -> str:
        """Return one ID."""
        start = int(self._ends.items[position - 1]) if position else 0
        with temporary_file_errors():
            return self._id(start, int(self._ends.items[position]) - start)

    def get(self, positions: np.ndarray) -> list[str]:
        """Return the IDs at some positions, which need not be neighbors."""
        ends = self._ends.items
        starts = np.where(positions > 0, ends[positions - 1], np.uint64(0)).tolist()
        stops = ends[positions].tolist()
        with temporary_file_errors():
            return [self._id(start, stop - start) for start, stop in zip(starts, stops, strict=True)]

    def _id(self, start: int, size: int) -> str:
        data = os.pread(self._file.fileno(), size, start)
        if len(data) < size:
            raise OSError(_TOO_SHORT)
        return data.decode("utf-8", "surrogatepass")

    def read(self, first: int, stop: int) -> tuple[bytes, np.ndarray]:
        """Return the bytes of consecutive IDs, and the offsets of their beginnings and of the last end."""
        start = int(self._ends.items[first - 1]) if first else 0
        ends = self._ends.items[first:stop]
        offsets = np.zeros(stop - first + 1, np.int64)
        offsets[1:] = ends - np.uint64(start)
        with temporary_file_errors():
            self._file.seek(start)
            data = b""
            while len(data) < offsets[-1]:
                piece = self._file.read(int(offsets[-1]) - len(data))
                if not piece:
                    raise OSError(_TOO_SHORT)
                data += piece
        return data, offsets
