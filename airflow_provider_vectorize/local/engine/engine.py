"""State and rules of the local Vectorize, without HTTP: what each operation does, and what a read sees."""

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
from airflow_provider_vectorize.local.engine.folding import Folder
from airflow_provider_vectorize.local.engine.index_state import IndexState, States
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.problems import TooManyIndexes
from airflow_provider_vectorize.local.engine.records import (
    Index,
    Info,
    Kind,
    Match,
    MetadataIndex,
    Mutation,
    NewIndex,
    Page,
    QueryRequest,
    StoredVector,
    Vector,
)


class Engine:
    """Thread-safe. Every operation takes the account and the index name, and raises a Problem."""

    def __init__(self, data: Path, *, limits: Limits, lag: float, clock: Clock, sync: bool = True) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.limits = limits
        self.clock = clock
        to_disk = partial(connect, sync=sync)
        self.catalog = Catalog(data / "catalog.sqlite3", clock, to_disk)
        self.states = States(data, self.catalog, limits, to_disk)
        self.folder = Folder(self.catalog, self.states, limits, clock, lag)
        self._metadata_lock = threading.Lock()

    def start(self) -> None:
        """Begins to fold in the background."""
        self.states.recover()
        self.folder.start()

    def close(self) -> None:
        self.folder.stop()
        self.states.close()
        self.catalog.close()

    def reset(self) -> None:
        """Forgets every index and everything pending."""
        with self.folder.paused():
            self.catalog.wipe()
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
        """Logs an insert or upsert of checked vectors."""
        # Ids are unique within a mutation from here on: the first wins an insert, the last an upsert.
        ordered = vectors if kind is Kind.UPSERT else vectors[::-1]
        unique = list({vector.id: vector for vector in ordered}.values())
        self._check_room(index, unique)
        return self._log(index, kind, unique)

    def _check_room(self, index: Index, vectors: Sequence[Vector]) -> None:
        """Whether the index as it is now can take them; what is pending does not count."""
        state = self.states.of(index)
        watermark = state.store.watermark(state.published)
        count = watermark[2] if watermark else 0
        if count + len(vectors) > self.limits.vectors_per_index:
            known = state.store.by_ids([vector.id for vector in vectors], state.published)
            if count + len(vectors) - len(known) > self.limits.vectors_per_index:
                raise IndexFull(self.limits.vectors_per_index)
        namespaces = {vector.namespace for vector in vectors} - {None}
        if namespaces and len(state.store.namespaces() | namespaces) > self.limits.namespaces_per_index:
            raise TooManyNamespaces(self.limits.namespaces_per_index)

    def delete_by_ids(self, account: str, name: str, ids: Sequence[str]) -> Mutation:
        unique = [Vector(one, None, None, None) for one in dict.fromkeys(ids)]
        return self._log(self.catalog.index(account, name), Kind.DELETE, unique)

    def create_metadata_index(self, account: str, name: str, prop: str, type_: str) -> Mutation:
        index = self.catalog.index(account, name)
        with self._metadata_lock:
            existing = self._coming_metadata_indexes(index)
            if prop not in existing and len(existing) >= self.limits.metadata_indexes:
                raise TooManyMetadataIndexes(self.limits.metadata_indexes)
            mutation = self._log(index, Kind.CREATE_METADATA_INDEX, argument=f"{prop}\n{type_}")
        # It covers what is written once it is visible: with a lag of 0 that is the very next write.
        self.folder.settle(index)
        return mutation

    def delete_metadata_index(self, account: str, name: str, prop: str) -> Mutation:
        index = self.catalog.index(account, name)
        with self._metadata_lock:
            if prop not in self._coming_metadata_indexes(index):
                raise NoMetadataIndex(prop)
            return self._log(index, Kind.DELETE_METADATA_INDEX, argument=prop)

    def foreign_mutation(self, account: str, name: str) -> Mutation:
        """A write of somebody else: it changes no vector, and moves the watermark when it is folded."""
        return self._log(self.catalog.index(account, name), Kind.FOREIGN)

    def _log(self, index: Index, kind: Kind, vectors: Sequence[Vector] = (), argument: str = "") -> Mutation:
        mutation = self.catalog.log(index, kind, vectors, argument)
        self.folder.wake()
        return mutation

    def _coming_metadata_indexes(self, index: Index) -> set[str]:
        """Those that will exist when all that is pending is folded."""
        state = self.states.of(index)
        names = {one.name for one in state.store.metadata_indexes(state.published)}
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
        return state.store.by_ids(list(dict.fromkeys(ids)), at)

    def query(self, account: str, name: str, request: QueryRequest, *, stale: bool = False) -> list[Match]:
        index, state, at = self._for_reading(account, name, stale)
        vector = request.vector
        if vector is None:
            assert request.vector_id is not None
            found = state.store.by_ids([request.vector_id], at)
            if not found:
                raise VectorNotFound(request.vector_id)
            vector = np.frombuffer(found[0].values, np.float32)
        elif len(vector) != index.dimensions:
            raise WrongQueryDimensions(index.dimensions, len(vector))
        conditions = flatten(request.filter) if request.filter else []
        nearest = state.nearest(vector, request.top_k, request.namespace, conditions, at if stale else None)
        vectors = state.store.by_rows([row for row, _ in nearest])
        return [Match(score, vectors[row]) for row, score in nearest if row in vectors]

    def list_vectors(self, account: str, name: str, count: int, cursor: str | None) -> Page:
        """One page of ids. All pages of a cursor show the state at the time of the first."""
        index, state, at = self._for_reading(account, name, False)
        after, expires_at = "", self.clock.now() + self.limits.cursor_seconds
        if cursor is not None:
            at, after, expires_at = self._read_cursor(index, cursor)
        ids = state.store.ids_after(after, count + 1, at)
        watermark = state.store.watermark(at)
        total = watermark[2] if watermark else 0
        if len(ids) <= count:
            return Page(tuple(ids), total, None, None)
        ids = ids[:count]
        text = orjson.dumps([index.key, at, ids[-1], expires_at])
        return Page(tuple(ids), total, base64.urlsafe_b64encode(text).decode(), expires_at)

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
        state = self.states.of(index)
        self.folder.settle(index)
        at = state.published
        return index, state, max(at - 1, 0) if stale else at

    # For the control API

    def peek(self, index: Index) -> Info:
        """Its ``info``, without the account."""
        state = self.states.of(index)
        self.folder.settle(index)
        mutation_id, processed_at, vectors = state.store.watermark(state.published) or (None, None, 0)
        return Info(index.dimensions, vectors, mutation_id, processed_at)

    def everything(self, index: Index) -> Iterator[StoredVector]:
        """All vectors that a read can see now."""
        state = self.states.of(index)
        self.folder.settle(index)
        return state.store.all_vectors(state.published)
