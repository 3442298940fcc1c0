"""Counts and exact neighbors agree with a simple calculation in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.load.neighbors import NEIGHBORS, NeighborSearch
from airflow_provider_vectorize.load.row_hashes import RowHashes, count_rows
from tests.support import DIMENSIONS

from .support import corpus, exact_neighbors


def naive_counts(rows: list[tuple[int, int]]) -> tuple[int, int, int, int]:
    last = dict(rows)
    values = [value for value in last.values() if value]
    return len(rows), len(last), len(last) - len(values), len(values) - len(set(values))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6))), st.integers(1, 5))
def test_count_rows_matches_a_dict(rows: list[tuple[int, int]], part_rows: int) -> None:
    pairs = np.array(rows, np.uint64).reshape(-1, 2)
    assert count_rows(pairs[:, 0], pairs[:, 1], part_rows) == naive_counts(rows)


def test_row_hashes_counts_rows_of_several_blocks() -> None:
    hashes = RowHashes()
    for ids, values in (([1, 2, 3], [5, 5, 0]), ([2, 4], [6, 5])):
        hashes.add(np.array(ids, np.uint64), np.array(values, np.uint64))
    assert hashes.count() == (5, 4, 1, 1)


def search(metric: Any, queries: np.ndarray, blocks: list[tuple[list[str], np.ndarray]]) -> NeighborSearch:
    found = NeighborSearch(metric, queries)
    for ids, values in blocks:
        found.add(ids, values)
    return found


def blocks_of(rows: list[Any], size: int = 37) -> list[tuple[list[str], np.ndarray]]:
    return [
        ([row["id"] for row in rows[n : n + size]], np.array([row["values"] for row in rows[n : n + size]], np.float32))
        for n in range(0, len(rows), size)
    ]


def test_neighbor_search_finds_exact_neighbors() -> None:
    rows = corpus(900)
    queries = np.array([row["values"] for row in rows[:9]], np.float32)
    found = search("cosine", queries, blocks_of(rows))
    for number in range(9):
        ids = [neighbor.id for neighbor in found.neighbors(number)]
        assert set(ids[:NEIGHBORS]) == set(exact_neighbors(rows[number]["values"], rows, NEIGHBORS))


@pytest.mark.parametrize("seed", range(5))
def test_neighbor_search_replaced_rows_stays_exact_or_drops_the_query(seed: int) -> None:
    """A later row with the same ID replaces the vector, also that of a neighbor."""
    rows = corpus(400, seed=seed)
    later = [row | {"values": new["values"]} for row, new in zip(rows[:150], corpus(150, seed=seed + 50), strict=True)]
    final = list({row["id"]: row for row in rows + later}.values())
    queries = np.array([row["values"] for row in rows[:40]], np.float32)
    found = search("cosine", queries, blocks_of(rows + later))
    kept = [number for number in range(40) if found.neighbors(number)]
    assert len(kept) > 10
    for number in kept:
        ids = [neighbor.id for neighbor in found.neighbors(number)]
        assert set(ids[:NEIGHBORS]) == set(exact_neighbors(rows[number]["values"], final, NEIGHBORS))


def test_neighbor_search_many_ties_drops_the_query() -> None:
    values = np.ones((100, DIMENSIONS), np.float32)
    found = search("cosine", values[:1], [([f"v{n}" for n in range(100)], values)])
    assert found.neighbors(0) == []


@pytest.mark.parametrize(("metric", "nearest"), [("euclidean", "b"), ("dot-product", "c"), ("cosine", "a")])
def test_neighbor_search_metric_ranks_as_vectorize_does(metric: str, nearest: str) -> None:
    query = np.array([[1.0, 0.0]], np.float32)
    values = np.array([[0.2, 0.0], [1.1, 0.1], [5.0, 5.0]], np.float32)
    found = search(metric, query, [(["a", "b", "c"], values)])
    assert found.neighbors(0)[0].id == nearest
