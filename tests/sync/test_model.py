"""Short form of the randomized model test. ``python -m tests.sync.campaign`` runs the long one."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from .model import run_history
from .switches import without

#: A rule, and a history that goes wrong without it.
CAUGHT = {
    "acknowledged_after": 12,
    "bad_rows_open": 0,
    "bad_rows_seen": 19,
    "baseline_keeps": 9,
    "empty_source": 19,
    "generation": 7,
    "incarnation_at_commit": 2,
    "last_object_wins": 121,
    "log_absorbed_only": 0,
    "log_opens": 73,
    "moves": 0,
    "other_generations": 0,
    "plan_file": 7,
    "refused_opens": 375,
    "unique_columns": 0,
    "unknown_opens": 12,
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_histories_keep_the_promise(first: int) -> None:
    for seed in range(first, first + 10):
        assert run_history(seed) == [], seed


@pytest.mark.parametrize("name", CAUGHT)
def test_history_without_a_rule_breaks_the_promise(name: str) -> None:
    with without(name):
        assert run_history(CAUGHT[name])
