"""Replicas that lag: counts are read until three answers are equal and high enough, and the best answer counts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_vectorize.api.models import IndexInfo, Vector
from airflow_provider_vectorize.checks.golden import GoldenQuery
from airflow_provider_vectorize.checks.reads import COUNT_READS, ROUNDS, Reads, ask_again
from airflow_provider_vectorize.checks.result import QueryOutcome
from airflow_provider_vectorize.checks.run import better

from .support import CheckedIndex, corpus, failed


class ScriptedReads(Reads):
    """Returns recorded answers, because a test cannot choose which replica answers."""

    def __init__(self, counts: Sequence[int]) -> None:
        self._answers = iter(counts)
        client: Any = self
        super().__init__(client, "books", requests=0)

    def get_index_info(self, name: str) -> IndexInfo:
        return IndexInfo(dimensions=32, vector_count=next(self._answers))

    def wait(self) -> None:
        """Do not pause."""


@pytest.mark.parametrize(
    ("counts", "minimum", "expected", "requests"),
    [
        ([9, 9, 9], 9, 9, 3),
        ([5, 9, 9, 9], 9, 9, 4),
        ([5, 5, 5, 9, 9, 9], 9, 9, 6),
        ([5, 9] * 5, 9, 9, COUNT_READS),
        ([5] * 10, 9, 5, COUNT_READS),
        ([12, 9, 12, 12, 12], 9, 12, 5),
    ],
)
def test_reads_count_waits_for_equal_and_high_answers(
    counts: list[int], minimum: int, expected: int, requests: int
) -> None:
    reads = ScriptedReads(counts)
    assert (reads.count(minimum), reads.requests) == (expected, requests)


def test_ask_again_few_answers_that_stay_bad_ends_after_some_rounds() -> None:
    """A single golden query for a missing ID must not be repeated for the rest of the 150 requests, one at a time."""
    asked: list[str] = []
    pauses: list[int] = []

    def ask(item: str) -> float:
        asked.append(item)
        return 0.0

    ask_again(["a", "b"], ask, max, float, lambda _: False, 147, lambda: pauses.append(1))
    assert len(pauses) == ROUNDS
    assert asked == ["a", "b"] * (1 + ROUNDS)


def test_check_golden_query_for_a_missing_id_fails_soon(books: CheckedIndex) -> None:
    books.load(corpus(20))

    result = books.check(golden=[GoldenQuery(1, ("v1",), 10, vector_id="missing")])

    assert failed(result) == {"golden_recall", "reciprocal_rank"}
    assert result.requests < 60


def test_better_outcome_of_a_query_counts_whatever_the_order() -> None:
    good, bad = QueryOutcome("a", True, 1, 1.0), QueryOutcome("a", True, None, 0.0)
    assert better(good, bad) == better(bad, good) == good


def test_check_vector_that_only_a_later_answer_lacks_is_found(
    books: CheckedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.load(corpus(20))
    lacking = itertools.chain(["v1"], itertools.repeat("v2"))
    real = Reads.vectors

    def vectors(self: Reads, ids: Sequence[str]) -> dict[str, Vector]:
        lacked = next(lacking)
        return {vector_id: vector for vector_id, vector in real(self, ids).items() if vector_id != lacked}

    monkeypatch.setattr(Reads, "vectors", vectors)
    assert failed(books.check()) == set()
