"""Engine of local Vectorize, independent of HTTP: the effect of each operation and the result of each read."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import orjson

from airflow_provider_vectorize.local.engine.catalog import Catalog, connect
from airflow_provider_vectorize.local.engine.clock import Clock
from airflow_provider_vectorize.local.engine.data_problems import (
    IndexFull,
    InvalidCursor,
    NoMetadataIndex,
    TooManyMetadataIndexes,
    TooManyNamespaces,
    VectorNotFound,
    WrongQueryDimensions,
)
from airflow_provider_vectorize.local.engine.filters import flatten
from airflow_provider_vectorize.local.engine.folding import FoldingJob
from airflow_provider_vectorize.local.engine.index_state import IndexState, IndexStates
from airflow_provider_vectorize.local.engine.kv import KeyValues
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.problems import TooManyIndexes
from airflow_provider_vectorize.local.engine.records import (
    Index,
    Info,
    Kind,
    ListingPage,
    Match,
    MetadataIndex,
    Mutation,
    NewIndex,
    QueryRequest,
    StoredVector,
    Vector,
)


class Engine:
    """Carries out the operations of the API. Thread-safe.

    Operations take the account and the name of the index. A failed operation raises a Problem.
    """

    def __init__(self, data: Path, *, limits: Limits, lag: float, clock: Clock, sync: bool = True) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.limits = limits
        self.clock = clock
        connect_to = partial(connect, sync=sync)
        self.catalog = Catalog(data / "catalog.sqlite3", clock, connect_to)
        self.states = IndexStates(data, self.catalog, limits, connect_to)
        self.folding = FoldingJob(self.catalog, self.states, limits, clock, lag)
        self.kv = KeyValues(data / "kv.sqlite3", connect_to)
        self._metadata_lock = threading.Lock()

    def start(self) -> None:
        """Recover from a crash, and start the folding job in the background."""
        self.states.recover()
        self.folding.start()

    def close(self) -> None:
        self.folding.stop()
        self.states.close()
        self.catalog.close()
        self.kv.close()

    def reset(self) -> None:
        """Delete all indexes, all pending mutations, and the values of Workers KV."""
        self.kv.delete_everything()
        with self.folding.paused():
            self.catalog.delete_everything()
            self.states.drop_all()

    # Indexes

    def create_index(self, account: str, new: NewIndex) -> Index:
        if len(self.catalog.indexes(account)) >= self.limits.indexes_per_account:
            raise TooManyIndexes(self.limits.indexes_per_account)
        return self.catalog.create_index(account, new)

    def list_indexes(self, account: str) -> list[Index]:
        return self.catalog.indexes(account)

    def get_index(self, account: str, name: str) -> Index:
        return self.catalog.index(account, name)

    def delete_index(self, account: str, name: str) -> None:
        index = self.catalog.index(account, name)
        self.catalog.delete_index(index)
        self.states.drop(index.key)

    def info(self, account: str, name: str, *, stale: bool = False) -> Info:
        index, state, at = self._for_reading(account, name, stale)
        watermark = state.store.watermark(at)
        if watermark is None:
            return Info(index.dimensions, 0, None, None)
        mutation_id, processed_at, vectors = watermark
        return Info(index.dimensions, vectors, mutation_id, processed_at)

    # Writes

    def write(self, index: Index, kind: Kind, vectors: Sequence[Vector]) -> Mutation:
        """Log an insert or upsert of vectors that have been checked."""
        # Ids must be unique within a mutation. The first vector with an id wins an insert, the last one an upsert.
        ordered = vectors if kind is Kind.UPSERT else vectors[::-1]
        unique = list({vector.id: vector for vector in ordered}.values())
        self._check_capacity(index, unique)
        return self._log(index, kind, unique)

    def _check_capacity(self, index: Index, vectors: Sequence[Vector]) -> None:
        """Raise if the visible index has no capacity for these vectors. Pending mutations do not count.

        :raises IndexFull: The index would exceed its maximum number of vectors.
        :raises TooManyNamespaces: The index would exceed its maximum number of namespaces.
        """
        state = self.states.get(index)
        watermark = state.store.watermark(state.visible_batch)
        count = watermark[2] if watermark else 0
        if count + len(vectors) > self.limits.vectors_per_index:
            existing = state.store.vectors_by_id([vector.id for vector in vectors], state.visible_batch)
            if count + len(vectors) - len(existing) > self.limits.vectors_per_index:
                raise IndexFull(self.limits.vectors_per_index)
        namespaces = {vector.namespace for vector in vectors} - {None}
        if namespaces and len(state.store.namespaces() | namespaces) > self.limits.namespaces_per_index:
            raise TooManyNamespaces(self.limits.namespaces_per_index)

    def delete_by_ids(self, account: str, name: str, ids: Sequence[str]) -> Mutation:
        unique = [Vector(vector_id, None, None, None) for vector_id in dict.fromkeys(ids)]
        return self._log(self.catalog.index(account, name), Kind.DELETE, unique)

    def create_metadata_index(self, account: str, name: str, prop: str, type_: str) -> Mutation:
        index = self.catalog.index(account, name)
        with self._metadata_lock:
            existing = self._future_metadata_index_names(index)
            if prop not in existing and len(existing) >= self.limits.metadata_indexes:
                raise TooManyMetadataIndexes(self.limits.metadata_indexes)
            mutation = self._log(index, Kind.CREATE_METADATA_INDEX, argument=f"{prop}\n{type_}")
        # A metadata index covers writes after it became visible. With a lag of 0 that includes the next write.
        self.folding.fold_before_read(index)
        return mutation

    def delete_metadata_index(self, account: str, name: str, prop: str) -> Mutation:
        index = self.catalog.index(account, name)
        with self._metadata_lock:
            if prop not in self._future_metadata_index_names(index):
                raise NoMetadataIndex(prop)
            return self._log(index, Kind.DELETE_METADATA_INDEX, argument=prop)

    def foreign_mutation(self, account: str, name: str) -> Mutation:
        """Log a write of another client. It changes no vector, and moves the watermark when it is folded."""
        return self._log(self.catalog.index(account, name), Kind.FOREIGN)

    def _log(self, index: Index, kind: Kind, vectors: Sequence[Vector] = (), argument: str = "") -> Mutation:
        mutation = self.catalog.log(index, kind, vectors, argument)
        self.folding.wake()
        return mutation

    def _future_metadata_index_names(self, index: Index) -> set[str]:
        """Return the names of the metadata indexes that exist once all pending mutations are folded."""
        state = self.states.get(index)
        names = {metadata_index.name for metadata_index in state.store.metadata_indexes(state.visible_batch)}
        for mutation in self.catalog.pending(index.key, -1, 1 << 62):
            if mutation.kind is Kind.CREATE_METADATA_INDEX:
                names.add(mutation.argument.partition("\n")[0])
            elif mutation.kind is Kind.DELETE_METADATA_INDEX:
                names.discard(mutation.argument)
        return names

    # Reads

    def list_metadata_indexes(self, account: str, name: str, *, stale: bool = False) -> list[MetadataIndex]:
        _, state, at = self._for_reading(account, name, stale)
        return state.store.metadata_indexes(at)

    def get_by_ids(self, account: str, name: str, ids: Sequence[str], *, stale: bool = False) -> list[StoredVector]:
        _, state, at = self._for_reading(account, name, stale)
        return state.store.vectors_by_id(list(dict.fromkeys(ids)), at)

    def query(self, account: str, name: str, request: QueryRequest, *, stale: bool = False) -> list[Match]:
        index, state, at = self._for_reading(account, name, stale)
        vector = request.vector
        if vector is None:
            assert request.vector_id is not None
            stored = state.store.vectors_by_id([request.vector_id], at)
            if not stored:
                raise VectorNotFound(request.vector_id)
            vector = np.frombuffer(stored[0].values, np.float32)
        elif len(vector) != index.dimensions:
            raise WrongQueryDimensions(index.dimensions, len(vector))
        conditions = flatten(request.filter) if request.filter else []
        nearest = state.nearest(vector, request.top_k, request.namespace, conditions, at if stale else None)
        vectors = state.store.vectors_by_row([row for row, _ in nearest])
        return [Match(score, vectors[row]) for row, score in nearest if row in vectors]

    def list_vectors(self, account: str, name: str, count: int, cursor: str | None) -> ListingPage:
        """Return one page of ids. All pages of a listing show the index as it was at the first page."""
        index, state, at = self._for_reading(account, name, False)
        after, expires_at = "", self.clock.now() + self.limits.cursor_seconds
        if cursor is not None:
            at, after, expires_at = self._read_cursor(index, cursor)
        ids = state.store.ids_after(after, count + 1, at)
        watermark = state.store.watermark(at)
        total = watermark[2] if watermark else 0
        if len(ids) <= count:
            return ListingPage(tuple(ids), total, None, None)
        ids = ids[:count]
        text = orjson.dumps([index.key, at, ids[-1], expires_at])
        return ListingPage(tuple(ids), total, base64.urlsafe_b64encode(text).decode(), expires_at)

    def _read_cursor(self, index: Index, cursor: str) -> tuple[int, str, float]:
        try:
            key, at, after, expires_at = orjson.loads(base64.urlsafe_b64decode(cursor))
            at, after, expires_at = int(at), str(after), float(expires_at)
        except (ValueError, TypeError, binascii.Error) as error:
            raise InvalidCursor("not a cursor of this API") from error
        if key != index.key:
            raise InvalidCursor("it belongs to another index")
        if expires_at <= self.clock.now():
            raise InvalidCursor("it has expired")
        return at, after, expires_at

    def _for_reading(self, account: str, name: str, stale: bool) -> tuple[Index, IndexState, int]:
        index = self.catalog.index(account, name)
        state = self.states.get(index)
        self.folding.fold_before_read(index)
        at = state.visible_batch
        return index, state, max(at - 1, 0) if stale else at

    # For the control API

    def index_info(self, index: Index) -> Info:
        """Return the same as :meth:`info` for a known index."""
        state = self.states.get(index)
        self.folding.fold_before_read(index)
        mutation_id, processed_at, vectors = state.store.watermark(state.visible_batch) or (None, None, 0)
        return Info(index.dimensions, vectors, mutation_id, processed_at)

    def visible_batch(self, index: Index) -> int:
        """Return the number of the batch that reads see."""
        state = self.states.get(index)
        self.folding.fold_before_read(index)
        return state.visible_batch

    def sample(self, index: Index, count: int, batch: int) -> tuple[int, list[StoredVector]]:
        """Return the number of vectors as of a batch, and up to ``count`` of them, spread over all."""
        store = self.states.get(index).store
        watermark = store.watermark(batch)
        return watermark[2] if watermark else 0, store.sample(count, batch)

    def visible_vectors(self, index: Index) -> Iterator[StoredVector]:
        """Return all visible vectors."""
        state = self.states.get(index)
        self.folding.fold_before_read(index)
        return state.store.all_vectors(state.visible_batch)
