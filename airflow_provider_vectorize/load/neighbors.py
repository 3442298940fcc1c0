"""Find the exact nearest neighbors of a few vectors while the rows of a load stream by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from airflow_provider_vectorize.api.models import Metric

#: Number of neighbors of each query.
NEIGHBORS = 10
#: Neighbors that are kept while rows stream by, because a later row with the same ID removes one.
KEPT = 3 * NEIGHBORS
#: Scores that differ by less, relative to their size, count as equal, because they are sums of rounded products.
TIE = 1e-5


class Neighbor(NamedTuple):
    """A neighbor of a query.

    :param id: Its ID.
    :param score: Higher is nearer: the cosine, the dot product, or the negative squared distance.
    """

    id: str
    score: float


class NeighborSearch:
    """Keeps the nearest neighbors of each query. Rows that share an ID replace each other, as an upsert does.

    For each query, the list has all vectors whose score is above its floor. Floors only rise, so the list stays exact.

    :param metric: Metric of the index.
    :param queries: Values of the queries as float32, a row for each.
    """

    def __init__(self, metric: Metric, queries: np.ndarray) -> None:
        self._metric = metric
        self._queries = _normalized(queries) if metric == "cosine" else queries
        self._squares = np.einsum("ij,ij->i", queries, queries)
        self._floors = np.full(len(queries), -np.inf, np.float32)
        self._ids: list[list[str]] = [[] for _ in queries]
        self._scores = [np.empty(0, np.float32) for _ in queries]
        self._listed: set[str] = set()

    def add(self, ids: Sequence[str], values: np.ndarray) -> None:
        """Compare rows with all queries.

        :param ids: IDs of the rows, none of which occurs twice.
        :param values: Their values as float32.
        """
        if not self._listed.isdisjoint(ids):
            self._remove(self._listed.intersection(ids))
        scores = self._score(values)
        near = scores > self._floors[:, None]
        for query in np.flatnonzero(near.any(axis=1)).tolist():
            rows = np.flatnonzero(near[query])
            self._insert(query, [ids[row] for row in rows.tolist()], scores[query, rows])
        self._listed = set().union(*self._ids) if near.any() else self._listed

    def neighbors(self, query: int) -> list[Neighbor]:
        """Return the nearest neighbors of a query, the nearest first, or none if too many of them were replaced.

        Neighbors that tie with the last one are included.
        """
        order = np.argsort(-self._scores[query], kind="stable").tolist()
        found = [Neighbor(self._ids[query][at], float(self._scores[query][at])) for at in order]
        floor = float(self._floors[query])
        if not found or (len(found) < NEIGHBORS and floor > -np.inf):
            return []
        limit = tie_limit(found[min(NEIGHBORS, len(found)) - 1].score)
        return [] if floor >= limit else [neighbor for neighbor in found if neighbor.score >= limit]

    def _score(self, values: np.ndarray) -> np.ndarray:
        """Return the score of each row for each query."""
        products = np.asarray(self._queries @ values.T)
        if self._metric == "dot-product":
            return products
        squares = np.einsum("ij,ij->i", values, values)
        if self._metric == "cosine":
            return np.asarray(products / np.sqrt(np.where(squares > 0, squares, 1)))
        return np.asarray(2 * products - squares - self._squares[:, None])

    def _insert(self, query: int, ids: list[str], scores: np.ndarray) -> None:
        all_ids, all_scores = self._ids[query] + ids, np.append(self._scores[query], scores)
        if len(all_ids) > KEPT:
            order = np.argsort(-all_scores, kind="stable")
            self._floors[query] = max(self._floors[query], all_scores[order[KEPT]])
            kept = order[:KEPT][all_scores[order[:KEPT]] > self._floors[query]]
            all_ids, all_scores = [all_ids[at] for at in kept.tolist()], all_scores[kept]
        self._ids[query], self._scores[query] = all_ids, all_scores

    def _remove(self, ids: set[str]) -> None:
        for query, listed in enumerate(self._ids):
            kept = [at for at, vector_id in enumerate(listed) if vector_id not in ids]
            if len(kept) < len(listed):
                self._ids[query] = [listed[at] for at in kept]
                self._scores[query] = self._scores[query][kept]


def tie_limit(score: float) -> float:
    """Return the lowest score that counts as equal to a score."""
    return score - TIE * max(1.0, abs(score))


def last_rows(ids: Sequence[str]) -> Mapping[str, int]:
    """Return the number of the last row with each ID."""
    return {vector_id: row for row, vector_id in enumerate(ids)}


def _normalized(values: np.ndarray) -> np.ndarray:
    """Return vectors of length 1. Zero vectors stay as they are."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1))
