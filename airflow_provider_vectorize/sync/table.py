"""All IDs that a run knows: those of the state, those of pending logs, and those that it adds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from airflow_provider_vectorize.rows.hashing import UNKNOWN, stable_hash
from airflow_provider_vectorize.sync.mapped import IdFile, MappedColumn
from airflow_provider_vectorize.sync.new_keys import NewKeys

#: Object number of an ID that belongs to no object of the source.
NO_OBJECT = -1
#: Flags of an ID.
SEEN = 1  #: A row of the source had the ID in this run.
SENT = 2  #: A row with the ID was sent in this run.
DELETED = 4  #: The deletion of the ID was acknowledged.
ADDED = 8  #: A row added the ID in this run. Neither the state nor a pending log knew it.
APPROVED = 16  #: A plan that deletes the ID was approved.
#: Number of IDs that are looked at together.
CHUNK = 1 << 16


def id_key(vector_id: str) -> int:
    """Return the key of an ID, by which it is found and sorted."""
    return stable_hash()(vector_id.encode("utf-8", "surrogatepass"))


def id_keys(ids: Sequence[str]) -> np.ndarray:
    """Return the keys of IDs."""
    key = stable_hash()
    try:
        return np.fromiter(map(key, map(str.encode, ids)), np.uint64, len(ids))
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair.
        return np.fromiter((key(vector_id.encode("utf-8", "surrogatepass")) for vector_id in ids), np.uint64, len(ids))


class IdTable:
    """IDs by position: first those of the state, sorted by key, then the others in the order of their arrival.

    Two IDs may have the same key. An unchanged row is recognized by key and hash. Before anything else is decided about
    a row, its ID itself is compared. The columns are in temporary files without names, which disappear with the
    process, also if it is killed.
    """

    def __init__(self) -> None:
        self._ids = IdFile()
        self._keys = MappedColumn(np.uint64)
        self._hashes = MappedColumn(np.uint64)
        self._objects = MappedColumn(np.int32)
        self._flags = MappedColumn(np.uint8)
        self._new = NewKeys()
        self.state_ids = 0  #: Number of IDs of the state.
        self._count = 0

    def close(self) -> None:
        """Close the files."""
        for column in (self._ids, self._keys, self._hashes, self._objects, self._flags):
            column.close()

    def __len__(self) -> int:
        return self._count

    @property
    def keys(self) -> np.ndarray:
        """Return the key of each ID."""
        return self._keys.items[: self._count]

    @property
    def hashes(self) -> np.ndarray:
        """Return the hash of each ID: of the row sent last in this run, else that of the state."""
        return self._hashes.items[: self._count]

    @property
    def objects(self) -> np.ndarray:
        """Return the object of each ID: of the last row seen in this run, else that of the state."""
        return self._objects.items[: self._count]

    @property
    def flags(self) -> np.ndarray:
        """Return the flags of each ID."""
        return self._flags.items[: self._count]

    def id(self, position: int) -> str:
        """Return the ID at a position."""
        return self._ids[position]

    def ids(self, positions: np.ndarray) -> list[str]:
        """Return the IDs at some positions."""
        return self._ids.get(positions)

    def id_bytes(self, first: int, stop: int) -> tuple[bytes, np.ndarray]:
        """Return consecutive IDs as bytes and offsets."""
        return self._ids.read(first, stop)

    # ---------------------------------------------------------------- adding IDs

    def load(
        self, data: bytes | memoryview, ends: np.ndarray, keys: np.ndarray, hashes: np.ndarray, objects: np.ndarray
    ) -> None:
        """Add IDs of the state, whose keys follow those added before."""
        self._append(data, ends, keys, hashes, objects, 0)
        self.state_ids = self._count

    def add(self, ids: Sequence[str], keys: np.ndarray, hashes: np.ndarray, objects: np.ndarray, flags: int) -> None:
        """Add IDs that the table does not have. All of them are different."""
        encoded = [vector_id.encode("utf-8", "surrogatepass") for vector_id in ids]
        ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        first = self._count
        self._append(b"".join(encoded), ends, keys, hashes, objects, flags)
        self._new.add(keys.tolist(), first)

    def _append(
        self,
        data: bytes | memoryview,
        ends: np.ndarray,
        keys: np.ndarray,
        hashes: np.ndarray,
        objects: np.ndarray,
        flags: int,
    ) -> None:
        first, count = self._count, self._count + len(keys)
        self._ids.append(data, ends)
        for column, values in (
            (self._keys, keys),
            (self._hashes, hashes),
            (self._objects, objects),
            (self._flags, np.full(len(keys), flags, np.uint8)),
        ):
            column.reserve(count)
            column.items[first:count] = values
        self._count = count

    # ---------------------------------------------------------------- finding IDs

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return a position with each key, or -1. The ID there may be another one."""
        state_keys = self._keys.items[: self.state_ids]
        if not self.state_ids:
            return self._new.find(keys)
        at = np.minimum(np.searchsorted(state_keys, keys), self.state_ids - 1)
        found = np.where(state_keys[at] == keys, at, -1)
        if self._count > self.state_ids:
            missing = np.flatnonzero(found < 0)
            if len(missing):
                found[missing] = self._new.find(keys[missing])
        return found

    def find_exactly(self, vector_id: str, key: int, candidate: int) -> int:
        """Return the position of an ID, or -1.

        :param key: Key of the ID.
        :param candidate: A position with this key, or -1 if there is none.
        """
        if candidate < 0 or self._ids[candidate] == vector_id:
            return candidate
        wanted = np.uint64(key)
        state_keys = self._keys.items[: self.state_ids]
        first, stop = np.searchsorted(state_keys, wanted), np.searchsorted(state_keys, wanted, "right")
        candidates = [*range(int(first), int(stop)), *self._new.positions(key)]
        return next((position for position in candidates if self._ids[position] == vector_id), -1)

    def position(self, vector_id: str) -> int:
        """Return the position of an ID, or -1."""
        key = id_key(vector_id)
        return self.find_exactly(vector_id, key, int(self.find(np.array([key], np.uint64))[0]))

    def mark(self, ids: Iterable[str], flag: int) -> None:
        """Set a flag of those IDs that the table has."""
        for vector_id in ids:
            if (position := self.position(vector_id)) >= 0:
                self.flags[position] |= flag

    # ---------------------------------------------------------------- all IDs

    def where(self, condition: Callable[[slice], np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the positions that fulfil a condition, in chunks.

        :param condition: Called with the slice of a chunk. Returns a bool for each of its IDs.
        """
        for first in range(0, self._count, CHUNK):
            chunk = slice(first, min(first + CHUNK, self._count))
            found = np.flatnonzero(condition(chunk))
            if len(found):
                yield found + first

    def count(self, condition: Callable[[slice], np.ndarray]) -> int:
        """Return the number of IDs that fulfil a condition."""
        return sum(len(positions) for positions in self.where(condition))

    def sum_of_keys(self, condition: Callable[[slice], np.ndarray]) -> int:
        """Return the sum of the keys of the IDs that fulfil a condition. It does not depend on their order."""
        return sum(int(self.keys[positions].sum(dtype=np.uint64)) for positions in self.where(condition)) % (1 << 64)

    def has(self, flags: int) -> Callable[[slice], np.ndarray]:
        """Return the condition that an ID has all of these flags."""
        return lambda chunk: (self.flags[chunk] & flags) == flags

    def unknown_objects(self) -> set[int]:
        """Return the numbers of the objects with IDs whose content in the index is unknown."""
        objects: set[int] = set()
        for positions in self.where(lambda chunk: self.hashes[chunk] == UNKNOWN):
            objects.update(np.unique(self.objects[positions]).tolist())
        return objects - {NO_OBJECT}

    def sorted_chunks(self) -> Iterator[np.ndarray]:
        """Yield the positions of all IDs in the order of their keys, in chunks."""
        self._new.flush()
        state_keys = self._keys.items[: self.state_ids]
        parts = max(1, -(-self._count // CHUNK))
        bounds = [np.uint64((1 << 64) * part // parts) for part in range(parts)]
        for part, first in enumerate(bounds):
            stop = bounds[part + 1] if part + 1 < parts else None
            begin = np.searchsorted(state_keys, first)
            end = self.state_ids if stop is None else np.searchsorted(state_keys, stop)
            positions = np.concatenate([np.arange(begin, end, dtype=np.int64), self._new.between(first, stop)])
            yield positions[np.argsort(self._keys.items[positions], kind="stable")]
