"""Find IDs that this run has added by their keys: sorted runs in files, and a dict of the newest keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from airflow_provider_vectorize.load.bodies import open_temporary_file, temporary_file_errors

#: Number of keys that are kept in the dict.
RECENT = 1 << 16
#: Sorted runs are merged up to this number of keys, which bounds the memory of a merge.
MERGED = 1 << 20


class NewKeys:
    """Maps the keys of added IDs to their positions. Several positions may have the same key."""

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._equal: dict[int, list[int]] = {}  # Further positions of keys that are not unique.
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, keys: Sequence[int], first_position: int) -> None:
        """Add keys whose positions are consecutive."""
        for position, key in enumerate(keys, first_position):
            if key in self._recent:
                self._equal.setdefault(key, []).append(position)
            else:
                self._recent[key] = position
        if len(self._recent) >= RECENT:
            self.flush()

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return a position for each key, or -1."""
        get = self._recent.get
        found = np.fromiter((get(key, -1) for key in keys.tolist()), np.int64, len(keys))
        for run_keys, positions in self._runs:
            missing = np.flatnonzero(found < 0)
            if not len(missing):
                break
            wanted = keys[missing]
            at = np.minimum(np.searchsorted(run_keys, wanted), len(run_keys) - 1)
            matches = run_keys[at] == wanted
            found[missing[matches]] = positions[at[matches]]
        return found

    def positions(self, key: int) -> Iterator[int]:
        """Yield all positions of a key."""
        if key in self._recent:
            yield self._recent[key]
        yield from self._equal.get(key, ())
        wanted = np.uint64(key)
        for run_keys, positions in self._runs:
            first, stop = np.searchsorted(run_keys, wanted), np.searchsorted(run_keys, wanted, "right")
            yield from positions[first:stop].tolist()

    def between(self, first: np.uint64, stop: np.uint64 | None) -> np.ndarray:
        """Return the positions of all keys from ``first`` to before ``stop``. Call :meth:`flush` before."""
        pieces = [
            positions[np.searchsorted(keys, first) : len(keys) if stop is None else np.searchsorted(keys, stop)]
            for keys, positions in self._runs
        ]
        return np.concatenate([np.empty(0, np.int64), *pieces])

    def flush(self) -> None:
        """Move the newest keys to a sorted run."""
        if not self._recent:
            return
        keys = np.fromiter(self._recent, np.uint64, len(self._recent))
        positions = np.fromiter(self._recent.values(), np.int64, len(self._recent))
        for key, others in self._equal.items():
            keys = np.concatenate([keys, np.full(len(others), key, np.uint64)])
            positions = np.concatenate([positions, np.array(others, np.int64)])
        self._recent, self._equal = {}, {}
        while self._runs and len(self._runs[-1][0]) <= len(keys) and len(self._runs[-1][0]) + len(keys) <= MERGED:
            run_keys, run_positions = self._runs.pop()
            keys, positions = np.concatenate([run_keys, keys]), np.concatenate([run_positions, positions])
        order = np.argsort(keys, kind="stable")
        self._runs.append((self._stored(keys[order]), self._stored(positions[order])))

    @staticmethod
    def _stored(array: np.ndarray) -> np.ndarray:
        """Move an array to a file without a name, which exists as long as its array."""
        with temporary_file_errors(), open_temporary_file() as file:
            array.tofile(file)
            return np.asarray(np.memmap(file, array.dtype, "r", shape=array.shape))
