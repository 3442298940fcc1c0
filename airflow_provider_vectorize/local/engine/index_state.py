"""The open state of each index: its store, the batch that reads see, and its vectors in memory once queried."""

from __future__ import annotations

import itertools
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

SLICE = 5_000


class IndexState:
    """One index. ``fold_lock`` is for whoever folds it or drops it."""

    def __init__(self, index: Index, store: Store, limits: Limits) -> None:
        self.index = index
        self.store = store
        self.fold_lock = threading.Lock()
        self.published = store.last_batch
        """The batch that reads see. It follows the store's newest batch once the matrix has it too."""
        self._limits = limits
        self._matrix: Matrix | None = None
        self._matrix_lock = threading.Lock()

    def publish(self) -> None:
        """Lets reads see the batch just folded."""
        batch = self.store.last_batch
        with self._matrix_lock:
            matrix = self._matrix
            if matrix is None:
                self.published = batch
                return
            matrix.set_metadata_indexes(self.store.metadata_indexes(batch))
        try:
            # Slice by slice, so that queries do not wait for 200,000 vectors.
            for vectors in _slices(self.store.all_vectors(batch, since=batch - 1)):
                with self._matrix_lock:
                    matrix.stage(vectors)
            gone = self.store.rows_gone(batch)
            with self._matrix_lock:
                matrix.commit(gone)
                self.published = batch
        except BaseException:  # for want of memory, say: the next query reads everything anew
            with self._matrix_lock:
                self._matrix, self.published = None, batch
            raise

    def nearest(
        self, query: Floats, top_k: int, namespace: str | None, conditions: Sequence[Condition], at: int | None = None
    ) -> list[tuple[int, float]]:
        """Rows and scores, best first: of now, or as of a batch, which is slow."""
        wanted = query, self.index.metric, top_k, namespace, conditions
        if at is not None:
            return self._load(at).nearest(*wanted)
        with self._matrix_lock:
            if self._matrix is None:
                self._matrix = self._load(self.published)
            return self._matrix.nearest(*wanted)

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
    while some := list(itertools.islice(vectors, SLICE)):
        yield some


class States:
    """Opens the state of an index when it is first needed."""

    def __init__(self, data: Path, catalog: Catalog, limits: Limits, connect: Connect) -> None:
        self._data = data
        self._connect = connect
        self._catalog = catalog
        self._limits = limits
        self._open: dict[int, IndexState] = {}
        self._dropped: set[int] = set()
        self._lock = threading.Lock()

    def of(self, index: Index) -> IndexState:
        """Raises IndexDeleted for an index that was dropped since it was looked up."""
        with self._lock:
            if index.key in self._dropped:
                raise IndexDeleted(index.name)
            state = self._open.get(index.key)
            if state is None:
                store = Store(self._path(index.key), self._catalog.path, index.name, self._connect)
                state = self._open[index.key] = IndexState(index, store, self._limits)
            return state

    def recover(self) -> None:
        """After a crash: what was folded leaves the log, and files of deleted indexes go."""
        keys = set()
        for index in self._catalog.indexes():
            keys.add(index.key)
            self._catalog.forget(index.key, self.of(index).store.folded_seq())
        for path in self._data.glob("index-*.sqlite3"):
            if int(path.stem.removeprefix("index-")) not in keys:
                self._delete_files(path)

    def drop(self, key: int) -> None:
        """Deletes the state of an index for good."""
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
