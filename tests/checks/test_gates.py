"""Each gate fails on its own when the index or the source is broken in its way, and passes without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from airflow_provider_vectorize.checks.gates import Gates
from airflow_provider_vectorize.checks.golden import GoldenQuery
from airflow_provider_vectorize.checks.reads import MAX_REQUESTS
from airflow_provider_vectorize.errors import ConfigError
from tests.support import Row

from .support import CheckedIndex, corpus, exact_neighbors, failed, golden_queries, other_model, status

ROWS = 1_500
GATES = {
    "count",
    "presence",
    "content",
    "self_retrieval",
    "recall",
    "golden_recall",
    "reciprocal_rank",
    "zero_vectors",
    "duplicates",
}


def by_id(rows: Sequence[Row], ids: set[str]) -> list[Row]:
    return [row for row in rows if row["id"] in ids]


def lose_vectors(books: CheckedIndex, rows: list[Row]) -> None:
    books.load(rows)
    others = [row["id"] for row in rows if row["id"] not in books.neighbor_ids | books.sample_ids]
    books.delete(others[:5])


def lose_sampled_vectors(books: CheckedIndex, rows: list[Row]) -> None:
    """Delete sampled vectors, and write others, so that their number is the same."""
    books.load(rows)
    lost = sorted(books.sample_ids - books.neighbor_ids)[:3]
    books.delete(lost)
    books.upsert([row | {"id": f"other-{row['id']}"} for row in other_model(by_id(rows, set(lost)))])


def write_one_percent_with_another_model(books: CheckedIndex, rows: list[Row]) -> None:
    books.load(rows)
    others = [row for row in rows if row["id"] not in books.neighbor_ids]
    books.upsert(other_model(others[:: len(others) // (ROWS // 100)]))


def swap_queried_vectors(books: CheckedIndex, rows: list[Row]) -> None:
    """Give the queried vectors that are not sampled each other's values, like a file whose IDs are shifted by a row."""
    books.load(rows)
    assert books.collected
    queried = by_id(rows, {query.id for query in books.collected.queries} - books.sample_ids)
    shifted = [
        row | {"values": other["values"]} for row, other in zip(queried, [*queried[1:], queried[0]], strict=True)
    ]
    books.upsert(shifted)


def write_neighbors_with_another_model(books: CheckedIndex, rows: list[Row]) -> None:
    """Overwrite neighbors that are neither sampled nor queried."""
    books.load(rows)
    assert books.collected
    queried = {query.id for query in books.collected.queries}
    books.upsert(other_model(by_id(rows, books.neighbor_ids - queried - books.sample_ids)))


def load_one_percent_of_another_model(books: CheckedIndex, rows: list[Row]) -> None:
    """Load a source of which another model wrote one row in a hundred. Only people know what it should be."""
    books.load([other_model([row], seed=n)[0] if n % 100 == 0 else row for n, row in enumerate(rows)])


def load_shuffled_ids(books: CheckedIndex, rows: list[Row]) -> None:
    """Load a source whose IDs are shifted by a few rows. Only people know what it should be."""
    books.load([row | {"id": other["id"]} for row, other in zip(rows, rows[7:] + rows[:7], strict=True)])


def load_zero_vectors(books: CheckedIndex, rows: list[Row]) -> None:
    books.load([row | {"values": [0.0] * 32} if n in {700, 900} else row for n, row in enumerate(rows)])


def load_duplicates(books: CheckedIndex, rows: list[Row]) -> None:
    books.load([row | {"values": rows[n - 1]["values"]} if n % 20 == 7 else row for n, row in enumerate(rows)])


def load_nothing_visible(books: CheckedIndex, rows: list[Row]) -> None:
    """Let every read answer from before the load."""
    books.local.hold()
    books.load(rows)


def load_well(books: CheckedIndex, rows: list[Row]) -> None:
    books.load(rows)


Break = Callable[[CheckedIndex, list[Row]], None]
CASES: list[tuple[Break, Gates, set[str]]] = [
    (load_well, Gates(), set()),
    (lose_vectors, Gates(), {"count"}),
    (lose_sampled_vectors, Gates(), {"presence"}),
    (write_one_percent_with_another_model, Gates(), {"content"}),
    (swap_queried_vectors, Gates(min_recall=0.5), {"self_retrieval"}),
    (write_neighbors_with_another_model, Gates(), {"recall"}),
    (load_one_percent_of_another_model, Gates(min_golden_recall=0.9999, min_recall=None), {"golden_recall"}),
    (load_zero_vectors, Gates(), {"zero_vectors"}),
    (load_duplicates, Gates(), {"duplicates"}),
    (load_shuffled_ids, Gates(), {"golden_recall", "reciprocal_rank"}),
    (load_nothing_visible, Gates(), GATES - {"content", "zero_vectors", "duplicates"}),
]


def queries_for(break_index: Break, rows: list[Row]) -> list[GoldenQuery]:
    """Return golden queries. The gates that look at the index are tested without, so that only one of them can fail."""
    if break_index is load_one_percent_of_another_model:
        return golden_queries(rows, 40, expected=10)
    if break_index in {load_shuffled_ids, load_nothing_visible, load_well}:
        return golden_queries(rows, 20)
    return []


@pytest.mark.parametrize(("break_index", "gates", "expected"), CASES, ids=[case[0].__name__ for case in CASES])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gate_broken_index_fails_alone(
    books: CheckedIndex, break_index: Break, gates: Gates, expected: set[str], seed: int
) -> None:
    rows = corpus(ROWS, seed=seed)
    break_index(books, rows)
    books.local.clear_requests()

    result = books.check(gates, queries_for(break_index, rows))

    assert failed(result) == expected, result.failure()
    assert len(books.local.requests()) == result.requests <= MAX_REQUESTS
    if expected:
        assert all(gate.label in result.failure() and gate.text in result.failure() for gate in result.failed)


def test_gate_low_reciprocal_rank_fails_alone(books: CheckedIndex) -> None:
    rows = corpus(ROWS)
    books.load(rows)
    third = [
        replace(query, expect=(exact_neighbors(query.vector or (), rows, 3)[2],)) for query in golden_queries(rows, 5)
    ]
    assert failed(books.check(golden=third)) == {"reciprocal_rank"}


def test_gates_each_fails_alone_in_a_case() -> None:
    alone = [next(iter(expected)) for _, _, expected in CASES if len(expected) == 1]
    assert {*alone, "reciprocal_rank"} == GATES


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
