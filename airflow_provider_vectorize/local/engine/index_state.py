"""Open state of each index: its store, the visible batch, and its vectors in memory after the first query."""

from __future__ import annotations

import itertools
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from airflow_provider_vectorize.local.engine.catalog import Catalog, Connect
from airflow_provider_vectorize.local.engine.filters import Condition
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.problems import IndexDeleted
from airflow_provider_vectorize.local.engine.records import Floats, Index, StoredVector
from airflow_provider_vectorize.local.engine.search import Matrix
from airflow_provider_vectorize.local.engine.store import Store

VECTORS_PER_SLICE = 5_000


class IndexState:
    """State of one index. Hold ``fold_lock`` to fold or drop it."""

    def __init__(self, index: Index, store: Store, limits: Limits) -> None:
        self.index = index
        self.store = store
        self.fold_lock = threading.Lock()
        self.visible_batch = store.last_batch
        """The batch that reads see. It becomes the newest batch of the store once the matrix contains that batch."""
        self._limits = limits
        self._matrix: Matrix | None = None
        self._matrix_lock = threading.Lock()

    def publish(self) -> None:
        """Make the newest batch visible to reads."""
        batch = self.store.last_batch
        with self._matrix_lock:
            matrix = self._matrix
            if matrix is None:
                self.visible_batch = batch
                return
            matrix.set_metadata_indexes(self.store.metadata_indexes(batch))
        try:
            # The lock is released between slices, so that queries do not wait for 200,000 vectors.
            for vectors in _slices(self.store.all_vectors(batch, since=batch - 1)):
                with self._matrix_lock:
                    matrix.stage(vectors)
            removed_rows = self.store.removed_rows(batch)
            with self._matrix_lock:
                matrix.commit(removed_rows)
                self.visible_batch = batch
        except BaseException:  # Such as MemoryError. The next query reads all vectors again.
            with self._matrix_lock:
                self._matrix, self.visible_batch = None, batch
            raise

    def nearest(
        self, query: Floats, top_k: int, namespace: str | None, conditions: Sequence[Condition], at: int | None = None
    ) -> list[tuple[int, float]]:
        """Return rows and scores, best first.

        :param at: The batch to search, which is slow. Default: the visible batch, which is held in memory.
        """
        search = query, self.index.metric, top_k, namespace, conditions
        if at is not None:
            return self._load(at).nearest(*search)
        with self._matrix_lock:
            if self._matrix is None:
                self._matrix = self._load(self.visible_batch)
            return self._matrix.nearest(*search)

    def _load(self, at: int) -> Matrix:
        watermark = self.store.watermark(at)
        matrix = Matrix(
            self.index.dimensions,
            self.store.metadata_indexes(at),
            self._limits.indexed_string_bytes,
            watermark[2] if watermark else 0,
        )
        for vectors in _slices(self.store.all_vectors(at)):
            matrix.stage(vectors)
        matrix.commit(())
        return matrix


def _slices(vectors: Iterator[StoredVector]) -> Iterator[list[StoredVector]]:
    while chunk := list(itertools.islice(vectors, VECTORS_PER_SLICE)):
        yield chunk


class IndexStates:
    """The states of all indexes. A state is opened when it is first needed."""

    def __init__(self, data: Path, catalog: Catalog, limits: Limits, connect: Connect) -> None:
        self._data = data
        self._connect = connect
        self._catalog = catalog
        self._limits = limits
        self._open: dict[int, IndexState] = {}
        self._dropped: set[int] = set()
        self._lock = threading.Lock()

    def get(self, index: Index) -> IndexState:
        """Return the state of an index.

        :raises IndexDeleted: The index was dropped after the caller looked it up.
        """
        with self._lock:
            if index.key in self._dropped:
                raise IndexDeleted(index.name)
            state = self._open.get(index.key)
            if state is None:
                store = Store(self._path(index.key), self._catalog.path, index.name, self._connect)
                state = self._open[index.key] = IndexState(index, store, self._limits)
            return state

    def recover(self) -> None:
        """Clean up after a crash: delete folded mutations from the log, and the files of deleted indexes.

        :raises sqlite3.DatabaseError: A file is of an index that the catalog never had, so the catalog was lost.
        """
        files = {
            int(match[1]): path
            for path in self._data.iterdir()
            if (match := re.fullmatch(r"index-(\d+)\.sqlite3", path.name))
        }
        if max(files, default=0) > self._catalog.last_key():
            raise sqlite3.DatabaseError(f"{self._catalog.path.name} has no index for {files[max(files)].name}")
        keys = set()
        for index in self._catalog.indexes():
            keys.add(index.key)
            self._catalog.discard_log(index.key, self.get(index).store.folded_seq())
        for key, path in files.items():
            if key not in keys:
                self._delete_files(path)

    def drop(self, key: int) -> None:
        """Delete the state of an index and its files."""
        with self._lock:
            self._dropped.add(key)
            state = self._open.pop(key, None)
        if state is not None:
            with state.fold_lock:
                state.store.close()
        self._delete_files(self._path(key))

    def drop_all(self) -> None:
        for key in list(self._open):
            self.drop(key)

    def close(self) -> None:
        with self._lock:
            for state in self._open.values():
                with state.fold_lock:
                    state.store.close()
            self._open.clear()

    def _path(self, key: int) -> Path:
        return self._data / f"index-{key}.sqlite3"

    def _delete_files(self, path: Path) -> None:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
