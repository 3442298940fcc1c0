"""Exact nearest-neighbour search over the float32 values of one index, in memory.

A coarse pass in float32 finds the candidates, a fine pass in float64 gives them their exact scores and order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from airflow_provider_vectorize.local.engine.filters import Column, Condition
from airflow_provider_vectorize.local.engine.records import Floats, MetadataIndex, StoredVector

Mask = NDArray[np.bool_]
SLICE = 4_096


class Matrix:
    """The vectors of an index as of one batch. Not thread-safe: its owner has a lock."""

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
        """A new one starts empty, since it covers only what is written after it."""
        kept = {column.index: column for column in self._columns.values()}
        self._columns = {
            one.name: kept.get(one) or Column(one, len(self._rows), self._string_bytes) for one in metadata_indexes
        }

    def commit(self, gone: Iterable[int]) -> None:
        """Shows everything staged, and hides the rows that are gone, in one step."""
        self._alive[np.asarray(self._staged, np.intp)] = True
        self._staged.clear()
        for row in gone:
            slot = self._slot_of.pop(row, None)
            if slot is not None:
                self._alive[slot] = False
                self._free.append(slot)

    def stage(self, vectors: Sequence[StoredVector]) -> None:
        """Takes vectors in, which are not found before :meth:`commit`."""
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
        more = count - len(slots)
        if self._used + more > len(self._rows):
            self._grow(max(self._used + more, len(self._rows) * 3 // 2))
        slots += range(self._used, self._used + more)
        self._used += more
        return slots

    def _grow(self, capacity: int) -> None:
        by = capacity - len(self._rows)
        self._values = np.concatenate([self._values, np.empty((by, self._dimensions), np.float32)])
        self._squares = np.concatenate([self._squares, np.zeros(by, np.float64)])
        self._rows = np.concatenate([self._rows, np.zeros(by, np.int64)])
        self._alive = np.concatenate([self._alive, np.zeros(by, np.bool_)])
        self._namespaces = np.concatenate([self._namespaces, np.zeros(by, np.int32)])
        for column in self._columns.values():
            column.grow(by)

    def nearest(
        self, query: Floats, metric: str, top_k: int, namespace: str | None, conditions: Sequence[Condition]
    ) -> list[tuple[int, float]]:
        """Up to ``top_k`` rows with their scores, best first: namespace first, then the filter, then the scores."""
        chosen = self._choose(namespace, conditions)
        if not len(chosen) or top_k < 1:
            return []
        coarse, slack = self._coarse(query, metric, chosen)
        if len(chosen) > top_k:
            # Everything that rounding could have moved into the best is looked at again.
            limit = np.partition(coarse, top_k - 1)[top_k - 1] + slack
            chosen = chosen[coarse <= limit]
        exact = np.concatenate([
            self._exact(query, metric, chosen[i : i + SLICE]) for i in range(0, len(chosen), SLICE)
        ])
        order = np.lexsort((self._rows[chosen], -exact if metric == "cosine" else exact))[:top_k]
        return [(int(self._rows[chosen[i]]), float(exact[i])) for i in order]

    def _choose(self, namespace: str | None, conditions: Sequence[Condition]) -> NDArray[np.intp]:
        mask = self._alive[: self._used]
        if namespace is not None:
            mask = mask & (self._namespaces[: self._used] == self._namespace_codes.get(namespace, -1))
        for condition in conditions:
            column = self._columns.get(condition.name)
            if column is None:  # no metadata index: nothing matches, and nobody is told
                return np.empty(0, np.intp)
            mask = mask & column.matches(condition)[: self._used]
        return np.flatnonzero(mask)

    def _coarse(self, query: Floats, metric: str, chosen: NDArray[np.intp]) -> tuple[NDArray[np.float64], float]:
        """Approximate distances, smaller is nearer, and by how much two of them can be in the wrong order."""
        if len(chosen) * 4 > self._used:
            products = (self._values[: self._used] @ query)[chosen].astype(np.float64)
        else:
            products = (self._values[chosen] @ query).astype(np.float64)
        squares = self._squares[chosen]
        query_square = float(np.dot(query.astype(np.float64), query.astype(np.float64)))
        longest = float(np.sqrt(squares.max() * query_square))
        # A float32 sum of n products errs by about sqrt(n) units in the last place; take several times that.
        error = 4 * float(np.finfo(np.float32).eps) * float(np.sqrt(self._dimensions))
        match metric:
            case "cosine":
                norms = np.sqrt(squares * query_square)
                return -np.divide(products, norms, out=np.zeros_like(products), where=norms > 0), error
            case "euclidean":
                return squares - 2 * products, 2 * error * longest
            case _:
                return -products, error * longest

    def _exact(self, query: Floats, metric: str, chosen: NDArray[np.intp]) -> NDArray[np.float64]:
        values = self._values[chosen].astype(np.float64)
        wanted = query.astype(np.float64)
        match metric:
            case "cosine":
                norms = np.sqrt(self._squares[chosen] * np.dot(wanted, wanted))
                products = values @ wanted
                scores = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
                clipped: NDArray[np.float64] = np.clip(scores, -1.0, 1.0)
                return clipped
            case "euclidean":
                difference = values - wanted
                distances: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
                return distances
            case _:
                negative: NDArray[np.float64] = -(values @ wanted)
                return negative
