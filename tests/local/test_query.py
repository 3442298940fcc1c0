"""Queries: scores, order, limits and content of matches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.local.engine.records import StoredVector
from airflow_provider_vectorize.local.engine.search import Matrix

from .conftest import Http, values, vector


def exact_score(metric: str, a: np.ndarray, b: np.ndarray) -> float:
    """Calculate the score of two vectors by its definition, with exact sums."""
    pairs = list(zip(map(float, a), map(float, b), strict=True))
    dot = math.fsum(x * y for x, y in pairs)
    if metric == "dot-product":
        return -dot
    if metric == "euclidean":
        return math.sqrt(math.fsum((x - y) ** 2 for x, y in pairs))
    norms = math.sqrt(math.fsum(x * x for x, _ in pairs) * math.fsum(y * y for _, y in pairs))
    return dot / norms if norms else 0.0


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["cosine", "euclidean", "dot-product"]), st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_scores_and_order_match_the_definition_of_the_metric(metric: str, seed: int, top_k: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((300, 32)).astype(np.float32)
    # Nearly equal vectors, equal vectors and a zero vector: sums in float32 sort these wrongly.
    rows[100:200] = rows[0] * np.float32(1 + 1e-7) + random.standard_normal((100, 32)).astype(np.float32) * 1e-6
    rows[200:210] = rows[1]
    rows[210] = 0
    query = (rows[0] * 3).astype(np.float32)
    matrix = Matrix(32, [], 64)
    matrix.stage([StoredVector(n, str(n), None, None, row.tobytes(), 0) for n, row in enumerate(rows)])
    matrix.commit(())
    scores = [exact_score(metric, query, row) for row in rows]
    best = sorted(scores, reverse=metric == "cosine")[:top_k]
    matches = matrix.nearest(query, metric, top_k, None, [])
    assert [score for _, score in matches] == pytest.approx(best, abs=1e-9, rel=1e-12)
    assert all(scores[row] == pytest.approx(score, abs=1e-9) for row, score in matches)
    assert len({row for row, _ in matches}) == top_k


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("cosine", [("same", 1.0), ("near", 1 / math.sqrt(2)), ("across", 0.0), ("against", -1.0)]),
        ("euclidean", [("near", 1.0), ("same", 1.0), ("across", math.sqrt(5)), ("against", 3.0)]),
        ("dot-product", [("near", -2.0), ("same", -2.0), ("across", 0.0), ("against", 2.0)]),
    ],
)
def test_metric_sorts_in_its_documented_direction(http: Http, metric: str, expected: list[tuple[str, float]]) -> None:
    http.create(metric=metric)
    http.upsert(vector("near", 1, 1), vector("same", 1), vector("across", 0, 1), vector("against", -1))
    matches = http.query(values(2), topK=4)
    if metric == "euclidean":
        matches.sort(key=lambda match: (match["score"], match["id"]))
        expected = [("same", 1.0), ("near", math.sqrt(2)), ("across", math.sqrt(5)), ("against", 3.0)]
    assert [match["id"] for match in matches] == [name for name, _ in expected]
    assert [match["score"] for match in matches] == pytest.approx([score for _, score in expected])


def test_zero_vector_has_cosine_score_of_zero(http: Http) -> None:
    http.create()
    http.upsert(vector("zero"), vector("a", 1))
    assert {match["id"]: match["score"] for match in http.query(values(1))} == {"a": 1.0, "zero": 0.0}
    assert {match["score"] for match in http.query(values())} == {0.0}


def test_query_by_default_returns_five_matches_without_content(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1, n, metadata={"n": n}, namespace="s") for n in range(8)))
    result = http.ok("POST", "/books/query", json={"vector": values(1)})
    assert list(result) == ["count", "matches"]
    assert result["count"] == 5
    assert result["matches"][0] == {"id": "v0", "score": 1.0, "namespace": "s"}
    full = http.query(values(1), topK=1, returnValues=True, returnMetadata="all")
    assert full == [{"id": "v0", "score": 1.0, "values": values(1, 0), "metadata": {"n": 0}, "namespace": "s"}]


def test_query_by_id_uses_the_values_of_that_vector(http: Http) -> None:
    http.create()
    http.upsert(vector("a", 1, 0.1), vector("b", 1, 0.2), vector("c", 0, 1))
    assert [match["id"] for match in http.query(vectorId="b", topK=2)] == ["b", "a"]


def test_namespace_is_applied_before_top_k(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"x{n}", 1, 0, namespace="x") for n in range(10)), vector("y", 0, 1, namespace="y"))
    http.upsert(vector("none", 1, 0))
    assert [match["id"] for match in http.query(values(1), topK=1, namespace="y")] == ["y"]
    assert http.query(values(1), namespace="unused") == []
    assert len(http.query(values(1), topK=50)) == 12


def test_query_does_not_find_overwritten_or_deleted_vectors(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1, n) for n in range(20)))
    assert len(http.query(values(1), topK=50)) == 20
    http.upsert(vector("v0", -1))
    http.ok("POST", "/books/delete_by_ids", json={"ids": ["v1", "v2"]})
    http.upsert(vector("new", 1, 0.5))
    matches = http.query(values(1), topK=50)
    assert len(matches) == 19
    assert matches[0]["id"] == "new"
    assert matches[-1] == {"id": "v0", "score": -1.0}


def test_query_returns_up_to_100_matches_or_50_with_content(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1, n) for n in range(120)))
    assert len(http.query(values(1), topK=100)) == 100
    assert len(http.query(values(1), topK=100, returnMetadata="indexed")) == 100
    assert len(http.query(values(1), topK=50, returnMetadata="all", returnValues=True)) == 50


def test_query_of_empty_index_returns_no_matches(http: Http) -> None:
    http.create()
    assert http.ok("POST", "/books/query", json={"vector": values(1)}) == {"count": 0, "matches": []}
