"""Golden queries: their format, and what counts as found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_vectorize.api.models import Match
from airflow_provider_vectorize.checks.golden import GoldenQuery, choose_evenly, parse_golden_queries
from airflow_provider_vectorize.checks.scoring import first_rank, own_rank, recall
from airflow_provider_vectorize.errors import ConfigError

from .support import CheckedIndex, corpus, exact_neighbors, failed, other_model


def parse(*rows: Any, dimensions: int = 2) -> list[GoldenQuery]:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return parse_golden_queries(lines, "s3://bucket/golden.ndjson", dimensions)


def test_golden_queries_are_parsed() -> None:
    first, second = parse(
        {"vector": [1, 0.5], "expect": ["a", "a", "b"], "k": 3, "namespace": "en"}, b" \r", {"id": "c", "expect": ["d"]}
    )
    assert first == GoldenQuery(1, ("a", "b"), 3, (1.0, 0.5), None, "en")
    assert second == GoldenQuery(3, ("d",), 10, None, "c")
    assert (first.top_k, second.top_k) == (3, 11)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a", "expect": ["b"], "namespace": "é" * 33}, "namespace must have at most 64 bytes"),
        (b"{", "is not a query: Expecting"),
        ([], "it is not a JSON object"),
        ({"vector": [1, 2], "id": "a", "expect": ["b"]}, "either a vector or an id"),
        ({"expect": ["b"]}, "either a vector or an id"),
        ({"vector": [1, 2], "expect": []}, "expect must be a list of IDs"),
        ({"vector": [1, 2], "expect": ["a"], "k": 0}, "k must be a whole number from 1 to 50"),
        ({"vector": [1, None], "expect": ["a"]}, "a list of numbers within the range of float32"),
        ({"vector": [1, 1e39], "expect": ["a"]}, "a list of numbers within the range of float32"),
        ({"vector": [1, 10**400], "expect": ["a"]}, "a list of numbers within the range of float32"),
        (b'{"vector": [1, NaN], "expect": ["a"]}', "a list of numbers within the range of float32"),
        ({"id": "é" * 33, "expect": ["a"]}, "id must have at most 64 bytes"),
        ({"vector": [1, 2, 3], "expect": ["a"]}, "has 3 values, but the index has 2 dimensions"),
        ({"vector": [1, 2], "expected": ["a"]}, "the key 'expected' is not known"),
        ({"id": 7, "expect": ["a"]}, "id must be a string"),
    ],
)
def test_golden_queries_wrong_line_raises_with_its_number(row: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"Line 2 of the golden queries s3://bucket/golden.ndjson .*{message}"):
        parse({"vector": [1, 2], "expect": ["a"]}, row)


def test_golden_query_empty_namespace_is_none() -> None:
    (query,) = parse({"id": "a", "expect": ["a"], "namespace": ""})
    assert query.namespace is None


def test_golden_queries_empty_object_raises() -> None:
    with pytest.raises(ConfigError, match="is empty"):
        parse(b"")


def test_choose_evenly_keeps_the_order() -> None:
    assert choose_evenly(range(10), 4) == [0, 2, 5, 7]
    assert choose_evenly([1], 4) == [1]


def test_recall_counts_ties_but_never_more_than_all() -> None:
    assert recall(["a", "b"], ["a", "b", "c"], 2) == 1.0
    assert recall(["a", "x"], ["a", "b", "c"], 2) == 0.5
    assert recall([], ["a"], 1) == 0.0


def test_first_rank_of_no_match_is_none() -> None:
    assert (first_rank(["x", "b"], ["a", "b"]), first_rank(["x"], ["a"])) == (2, None)


def matches(**scores: float) -> list[Match]:
    return [Match(id=name, score=score) for name, score in scores.items()]


def test_own_rank_ties_share_the_best_rank() -> None:
    assert own_rank(matches(a=1.0, b=1.0 - 1e-7), "b", "cosine") == 1
    assert own_rank(matches(a=1.0, b=0.9), "b", "cosine") == 2
    assert own_rank(matches(a=0.0, b=0.5), "b", "euclidean") == 2
    assert own_rank(matches(a=1.0, b=1.0), "c", "cosine") == 1, "only ties were returned"
    assert own_rank(matches(a=1.0, b=0.9), "c", "cosine") is None
    assert own_rank([], "c", "cosine") is None


def test_golden_query_by_id_does_not_count_its_own_vector(books: CheckedIndex) -> None:
    rows = corpus(200)
    books.load(rows)
    neighbors = exact_neighbors(rows[3]["values"], rows, 4)
    assert neighbors[0] == "v3"
    query = GoldenQuery(1, tuple(neighbors[1:]), 3, vector_id="v3")
    result = books.check(golden=[query])
    assert failed(result) == set()
    outcome = result.queries[0]
    assert (outcome.rank, outcome.recall) == (1, 1.0)


def test_golden_query_by_unknown_id_finds_nothing(books: CheckedIndex) -> None:
    books.load(corpus(50))
    result = books.check(golden=[GoldenQuery(1, ("v1",), 3, vector_id="gone")])
    assert failed(result) == {"golden_recall", "reciprocal_rank"}


def test_golden_queries_of_another_model_fail(books: CheckedIndex) -> None:
    rows = corpus(300)
    books.load(rows)
    queries = [GoldenQuery(n, (row["id"],), 10, tuple(row["values"])) for n, row in enumerate(other_model(rows[:20]))]
    assert failed(books.check(golden=queries)) == {"golden_recall", "reciprocal_rank"}
