"""Replicas that lag raise no false alarm. ``python -m tests.checks.campaign`` is the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_vectorize.checks.reads import MAX_REQUESTS
from airflow_provider_vectorize.local.handle import LocalVectorize

from .campaign import run_once
from .support import CheckedIndex, corpus, failed, golden_queries


@pytest.mark.parametrize("seed", range(8))
def test_check_flapping_replicas_raise_no_false_alarm(
    local_vectorize: LocalVectorize, tmp_path: Path, seed: int
) -> None:
    outcome = run_once(local_vectorize, tmp_path, seed)
    assert outcome.failed == ()
    assert outcome.requests <= MAX_REQUESTS


def test_check_replicas_that_never_catch_up_fail_within_the_requests(books: CheckedIndex) -> None:
    books.local.hold()
    books.load(corpus(700))
    books.local.process()
    books.local.flap(books.name, probability=1.0)
    books.local.clear_requests()
    result = books.check()
    assert {"count", "presence", "self_retrieval", "recall"} <= failed(result)
    assert len(books.local.requests()) <= MAX_REQUESTS


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 10, 1_000, 100_000])
def test_check_size_of_the_index_does_not_change_the_limit_of_requests(books: CheckedIndex, count: int) -> None:
    """Check a good index, and then the same one after its first vectors were deleted, so that reads are repeated."""
    rows = corpus(count)
    books.load(rows)
    golden = golden_queries(rows, 60)
    good = books.check(golden=golden)
    assert failed(good) == set()
    assert good.requests <= 1 + 3 + 25 + 50
    books.delete(row["id"] for row in rows[:1_000])
    bad = books.check(golden=golden)
    assert "count" in failed(bad)
    assert bad.requests <= MAX_REQUESTS
    assert good.requests < bad.requests
