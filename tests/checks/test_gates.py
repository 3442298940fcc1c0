"""Each gate fails on its own when the index or the source is broken in its way, and passes without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_vectorize.checks.gates import Gates
from airflow_provider_vectorize.errors import ConfigError

from .faults import FAULTS, GATES, ROWS, Fault
from .support import CheckedIndex, corpus, exact_neighbors, failed, golden_queries, other_model, status


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gate_broken_index_fails_alone(books: CheckedIndex, fault: Fault, seed: int) -> None:
    result = fault.check(books, seed)
    assert failed(result) == fault.expected, result.failure()
    if fault.expected:
        assert all(gate.label in result.failure() and gate.text in result.failure() for gate in result.failed)


def test_gate_low_reciprocal_rank_fails_alone(books: CheckedIndex) -> None:
    rows = corpus(ROWS)
    books.load(rows)
    third = [
        replace(query, expect=(exact_neighbors(query.vector or (), rows, 3)[2],)) for query in golden_queries(rows, 5)
    ]
    result = books.check(golden=third)
    assert failed(result) == {"reciprocal_rank"}
    assert "(lowest line 1: 0.33, line 2: 0.33, line 3: 0.33, …)" in result.failed[0].text


def test_gates_each_fails_alone_in_a_fault() -> None:
    assert {name for fault in FAULTS if len(fault.expected) == 1 for name in fault.expected} == GATES


def test_gates_good_index_pass_with_about_eighty_requests(books: CheckedIndex) -> None:
    rows = corpus(ROWS)
    books.load(rows)
    result = books.check(golden=golden_queries(rows, 40))
    assert set(status(result).values()) == {"passed"}
    assert result.requests == 1 + 3 + 25 + 30 + 20


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot-product"])
def test_gates_metric_good_index_passes(books: CheckedIndex, metric: str) -> None:
    with books.client() as client:
        client.delete_index(books.name)
    books.create(metric)
    books.load(corpus(400))
    result = books.check()
    assert failed(result) == set()
    assert status(result)["recall"] == "passed"
    assert status(result)["self_retrieval"] == ("skipped" if metric == "dot-product" else "passed")


def test_gates_ties_count_as_found(books: CheckedIndex) -> None:
    """Sixty identical vectors: no query can tell which of them it finds."""
    rows = corpus(300)
    same = [row | {"values": rows[0]["values"]} for row in rows[:60]]
    books.load(same + rows[60:])
    assert failed(books.check(Gates(max_duplicates=None))) == set()


def test_gates_shared_index_skips_recall_and_passes_count(books: CheckedIndex) -> None:
    books.upsert([row | {"id": f"other-{row['id']}"} for row in other_model(corpus(50))])
    books.load(corpus(400))
    result = books.check()
    recall = next(gate for gate in result.gates if gate.name == "recall")
    assert failed(result) == set()
    assert (recall.status, recall.text) == ("skipped", "the index has 50 vectors that the load did not write")


def test_gates_insert_over_other_values_skips_content_and_recall(books: CheckedIndex) -> None:
    rows = corpus(400)
    books.upsert(other_model(rows))
    books.load(rows, "insert")
    result = books.check()
    assert failed(result) == set()
    assert {name for name, found in status(result).items() if found == "skipped"} >= {"content", "recall"}


def test_gates_rows_that_share_an_id_count_once(books: CheckedIndex) -> None:
    rows = corpus(2_000)  # They are read in several blocks.
    books.load(rows + other_model(rows[:20]))
    result = books.check()
    assert failed(result) == set()
    assert status(result)["recall"] == "passed"


def test_gates_receipt_alone_checks_count_and_samples(books: CheckedIndex) -> None:
    books.load(corpus(300))
    books.collected = None
    result = books.check()
    assert failed(result) == set()
    assert {name for name, found in status(result).items() if found == "passed"} == {
        "count", "presence", "content", "self_retrieval",
    }  # fmt: skip
    assert result.requests < 20


def test_gates_recreated_index_raises(books: CheckedIndex) -> None:
    books.load(corpus(20))
    with books.client() as client:
        client.delete_index(books.name)
    books.create()
    with pytest.raises(ConfigError, match="was created again"):
        books.check()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": -1}, "Gates.count must be"),
        ({"min_recall": 90}, "Gates.min_recall must be a share"),
        ({"max_duplicates": True}, "Gates.max_duplicates must be a share"),
        ({"count_tolerance": None}, "Gates.count_tolerance must be a share"),
    ],
)
def test_gates_wrong_value_raises(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Gates(**values)  # type: ignore[arg-type]
