"""Replicas that lag raise no false alarm. ``python -m tests.checks.campaign`` is the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_vectorize.checks.reads import MAX_REQUESTS
from airflow_provider_vectorize.local.handle import LocalVectorize

from .campaign import run_once
from .support import CheckedIndex, corpus, failed


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
