"""Exact nearest-neighbor search over the float32 values of one index, in memory.

A pass in float32 selects the candidates. A second pass in float64 calculates their exact scores and their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from airflow_provider_vectorize.local.engine.filters import Column, Condition
from airflow_provider_vectorize.local.engine.records import Floats, MetadataIndex, StoredVector

Mask = NDArray[np.bool_]
SLOTS_PER_SLICE = 4_096


class Matrix:
    """The vectors of an index as of one batch. Not thread-safe: the owner must hold a lock."""

    def __init__(
        self, dimensions: int, metadata_indexes: Sequence[MetadataIndex], string_bytes: int, capacity: int = 0
    ) -> None:
        self._dimensions = dimensions
        self._string_bytes = string_bytes
        self._values: Floats = np.empty((0, dimensions), np.float32)
        self._squares = np.empty(0, np.float64)
        self._rows = np.empty(0, np.int64)
        self._alive: Mask = np.empty(0, np.bool_)
        self._namespaces = np.empty(0, np.int32)
        self._namespace_codes: dict[str | None, int] = {None: 0}
        self._used = 0
        self._free: list[int] = []
        self._staged: list[int] = []
        self._slot_of: dict[int, int] = {}
        self._columns: dict[str, Column] = {}
        self._grow(capacity)
        self.set_metadata_indexes(metadata_indexes)

    def set_metadata_indexes(self, metadata_indexes: Sequence[MetadataIndex]) -> None:
        """Replace the metadata indexes. A new one starts empty, because it covers only later writes."""
        columns = {column.index: column for column in self._columns.values()}
        self._columns = {
            index.name: columns.get(index) or Column(index, len(self._rows), self._string_bytes)
            for index in metadata_indexes
        }

    def commit(self, removed_rows: Iterable[int]) -> None:
        """Make all staged vectors visible, and remove rows."""
        self._alive[np.asarray(self._staged, np.intp)] = True
        self._staged.clear()
        for row in removed_rows:
            slot = self._slot_of.pop(row, None)
            if slot is not None:
                self._alive[slot] = False
                self._free.append(slot)

    def stage(self, vectors: Sequence[StoredVector]) -> None:
        """Add vectors. Searches do not find them before :meth:`commit`."""
        if not vectors:
            return
        slots = self._take_slots(len(vectors))
        values = np.frombuffer(b"".join(vector.values for vector in vectors), np.float32)
        values = values.reshape(len(vectors), self._dimensions)
        where = np.asarray(slots)
        self._values[where] = values
        self._squares[where] = np.einsum("ij,ij->i", values, values, dtype=np.float64)
        self._rows[where] = [vector.row for vector in vectors]
        codes = self._namespace_codes
        self._namespaces[where] = [codes.setdefault(vector.namespace, len(codes)) for vector in vectors]
        self._staged += slots
        for slot, vector in zip(slots, vectors, strict=True):
            self._slot_of[vector.row] = slot
            for column in self._columns.values():
                column.put(slot, vector.metadata, vector.seq)

    def _take_slots(self, count: int) -> list[int]:
        slots = [self._free.pop() for _ in range(min(count, len(self._free)))]
        missing = count - len(slots)
        if self._used + missing > len(self._rows):
            self._grow(max(self._used + missing, len(self._rows) * 3 // 2))
        slots += range(self._used, self._used + missing)
        self._used += missing
        return slots

    def _grow(self, capacity: int) -> None:
        added = capacity - len(self._rows)
        self._values = np.concatenate([self._values, np.empty((added, self._dimensions), np.float32)])
        self._squares = np.concatenate([self._squares, np.zeros(added, np.float64)])
        self._rows = np.concatenate([self._rows, np.zeros(added, np.int64)])
        self._alive = np.concatenate([self._alive, np.zeros(added, np.bool_)])
        self._namespaces = np.concatenate([self._namespaces, np.zeros(added, np.int32)])
        for column in self._columns.values():
            column.grow(added)

    def nearest(
        self, query: Floats, metric: str, top_k: int, namespace: str | None, conditions: Sequence[Condition]
    ) -> list[tuple[int, float]]:
        """Return up to ``top_k`` rows with their scores, best first, among those that match namespace and filter."""
        chosen = self._select_slots(namespace, conditions)
        if not len(chosen) or top_k < 1:
            return []
        approximate, max_error = self._approximate_distances(query, metric, chosen)
        if len(chosen) > top_k:
            # Keep every vector that may belong to the best ones within the rounding error.
            limit = np.partition(approximate, top_k - 1)[top_k - 1] + max_error
            chosen = chosen[approximate <= limit]
        exact = np.concatenate([
            self._exact_scores(query, metric, chosen[i : i + SLOTS_PER_SLICE])
            for i in range(0, len(chosen), SLOTS_PER_SLICE)
        ])
        order = np.lexsort((self._rows[chosen], -exact if metric == "cosine" else exact))[:top_k]
        return [(int(self._rows[chosen[i]]), float(exact[i])) for i in order]

    def _select_slots(self, namespace: str | None, conditions: Sequence[Condition]) -> NDArray[np.intp]:
        mask = self._alive[: self._used]
        if namespace is not None:
            mask = mask & (self._namespaces[: self._used] == self._namespace_codes.get(namespace, -1))
        for condition in conditions:
            column = self._columns.get(condition.name)
            if column is None:  # Without a metadata index nothing matches. Vectorize reports no error.
                return np.empty(0, np.intp)
            mask = mask & column.matches(condition)[: self._used]
        return np.flatnonzero(mask)

    def _approximate_distances(
        self, query: Floats, metric: str, chosen: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], float]:
        """Return approximate distances (smaller is nearer), and the maximum error of a difference between two."""
        if len(chosen) * 4 > self._used:
            products = (self._values[: self._used] @ query)[chosen].astype(np.float64)
        else:
            products = (self._values[chosen] @ query).astype(np.float64)
        squares = self._squares[chosen]
        query_square = float(np.dot(query.astype(np.float64), query.astype(np.float64)))
        longest = float(np.sqrt(squares.max() * query_square))
        # The error of a float32 sum of n products is about sqrt(n) units in the last place. Allow four times as much.
        error = 4 * float(np.finfo(np.float32).eps) * float(np.sqrt(self._dimensions))
        match metric:
            case "cosine":
                norms = np.sqrt(squares * query_square)
                return -np.divide(products, norms, out=np.zeros_like(products), where=norms > 0), error
            case "euclidean":
                return squares - 2 * products, 2 * error * longest
            case _:
                return -products, error * longest

    def _exact_scores(self, query: Floats, metric: str, chosen: NDArray[np.intp]) -> NDArray[np.float64]:
        values = self._values[chosen].astype(np.float64)
        exact_query = query.astype(np.float64)
        match metric:
            case "cosine":
                norms = np.sqrt(self._squares[chosen] * np.dot(exact_query, exact_query))
                products = values @ exact_query
                scores = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
                clipped: NDArray[np.float64] = np.clip(scores, -1.0, 1.0)
                return clipped
            case "euclidean":
                difference = values - exact_query
                distances: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
                return distances
            case _:
                negative: NDArray[np.float64] = -(values @ exact_query)
                return negative
