"""Tests of the pure decision when an index has changed, also in seeded random worlds with lagging replicas."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest

from airflow_provider_vectorize.triggers.changes import Changes, begin, due, fire, observe
from airflow_provider_vectorize.triggers.view import IndexState

START = datetime(2026, 11, 26, 2, 0, tzinfo=UTC)
QUIET, MAX_WAIT = 120.0, 3_600.0


def shown(seconds: float | None, mutation_id: str = "m", *, at: float = 0) -> IndexState:
    """Return what an index shows after it processed a mutation at a time, in seconds after the start."""
    processed_at = None if seconds is None else START + timedelta(seconds=seconds)
    return IndexState(True, START + timedelta(seconds=at), processed_at, mutation_id, 5)


def test_begin_earlier_mutation_is_no_change() -> None:
    state = observe(begin(shown(-100)), shown(-100), 10)

    assert due(state, 10_000, QUIET, MAX_WAIT) is None
    assert state.fired.mutation_id == "m"


def test_begin_with_a_lagging_answer_ignores_what_was_processed_before() -> None:
    state = observe(begin(shown(-3_600, "old")), shown(-60, "new"), 60)

    assert due(state, 10_000, QUIET, MAX_WAIT) is None


@pytest.mark.parametrize("first", [IndexState(exists=False, checked_at=START), shown(None)])
def test_begin_without_mutations_counts_the_first_one(first: IndexState) -> None:
    state = observe(begin(first), shown(5), 60)

    assert due(state, 60, QUIET, MAX_WAIT) is None
    assert due(state, 60 + QUIET, QUIET, MAX_WAIT) == "quiet"


def test_due_waits_until_the_index_is_quiet() -> None:
    state = begin(shown(-100))
    for second in range(60, 600, 60):
        state = observe(state, shown(second, at=second), second)
        assert due(state, second, QUIET, MAX_WAIT) is None

    assert due(state, 540 + QUIET - 1, QUIET, MAX_WAIT) is None
    assert due(state, 540 + QUIET, QUIET, MAX_WAIT) == "quiet"


def test_due_index_that_is_never_quiet_fires_after_max_wait_and_begins_anew() -> None:
    state, fired = begin(shown(-100)), []
    for second in range(60, 3 * 3_600, 60):
        state = observe(state, shown(second, at=second), second)
        if reason := due(state, second, QUIET, MAX_WAIT):
            fired.append((second, reason))
            state = fire(state)

    assert fired == [(3_660, "max_wait"), (7_320, "max_wait")]


def test_observe_older_answer_of_another_replica_changes_nothing() -> None:
    state = observe(begin(shown(-100)), shown(50, "new"), 60)
    empty = observe(observe(state, shown(-100), 120), shown(None), 60 + QUIET)
    assert due(empty, 60 + QUIET, QUIET, MAX_WAIT) is None, "the index may be another one"
    flapped = observe(empty, shown(50, "new"), 60 + QUIET)

    assert flapped == state
    assert due(flapped, 60 + QUIET, QUIET, MAX_WAIT) == "quiet"
    assert due(observe(fire(flapped), shown(50, "new"), 300), 10_000, QUIET, MAX_WAIT) is None


def test_observe_same_watermark_updates_the_count() -> None:
    state = observe(begin(shown(-100)), shown(50, "new"), 60)
    later = IndexState(True, None, START + timedelta(seconds=50), "new", 9)

    assert observe(state, later, 90).newest.vector_count == 9
    assert observe(state, later, 90).changed_at == 60


def test_cursor_restores_what_was_fired() -> None:
    state = fire(observe(begin(shown(-100)), shown(50, "new"), 60))
    restored = Changes.from_cursor(state.to_cursor())

    assert restored
    assert (restored.fired, restored.after) == (state.fired, state.after)
    assert due(observe(restored, shown(50, "new"), 1), 10_000, QUIET, MAX_WAIT) is None
    assert due(observe(restored, shown(51, "newer"), 1), 10_000, QUIET, MAX_WAIT) == "quiet"


@pytest.mark.parametrize("cursor", [{}, {"after": "2026"}, {"processed_at": 5, "mutation_id": "", "vector_count": 1}])
def test_cursor_of_another_version_is_ignored(cursor: dict[str, object]) -> None:
    assert Changes.from_cursor(cursor) is None


@pytest.mark.parametrize("seed", range(200))
def test_random_loads_with_lagging_replicas_fire_once_for_each_load(seed: int) -> None:
    """Loads of some minutes with long pauses, seen by replicas that lag for up to 90 seconds, and restarts."""
    world = random.Random(seed)
    loads = list(accumulate(world.uniform(2_000, 6_000) for _ in range(5)))
    jobs = sorted(start + world.uniform(0, 400) for start in loads for _ in range(world.randint(1, 40)))
    state, fired = begin(shown(None)), []
    for second in range(0, int(jobs[-1]) + 2_000, 60):
        seen = [job for job in jobs if job <= second - world.choice([0, 0, world.uniform(0, 90)])]
        answer = shown(seen[-1] if seen else None, at=second)
        if world.random() < 0.02:  # the triggerer was restarted
            state = Changes.from_cursor(state.to_cursor()) or state
        state = observe(state, answer, second)
        if due(state, second, 480, 10_000):
            fired.append(state.newest.processed_at)
            state = fire(state)

    assert fired == sorted(set(fired)), "an event was sent twice, or for an older watermark"
    expected = {max(job for job in jobs if start <= job <= start + 400) for start in loads}
    assert fired == [START + timedelta(seconds=job) for job in sorted(expected)]


def test_observe_change_of_an_index_that_is_gone_is_forgotten_also_for_max_wait() -> None:
    state = observe(begin(shown(0)), shown(10), 10)
    missing = IndexState(exists=False)
    for check in range(3):
        state = observe(state, missing, 11 + check)
        assert due(state, 11 + check, 0, 0) is None
    state = observe(state, shown(5_000), 5_000)

    assert due(state, 5_001, QUIET, MAX_WAIT) is None
    assert due(state, 5_120, QUIET, MAX_WAIT) == "quiet"


def test_observe_change_that_a_lagging_replica_did_not_know_fires_when_it_is_shown_again() -> None:
    state = observe(begin(shown(0)), shown(10), 10)
    missing = IndexState(exists=False)
    for check in range(3):
        state = observe(state, missing, 11 + check)
    state = observe(state, shown(10), 14)

    assert due(state, 134, QUIET, MAX_WAIT) == "quiet"
    assert state.newest.processed_at == shown(10).processed_at
