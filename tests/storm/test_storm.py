"""A short storm for every run of the tests. ``make storm`` is the long one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .outcome import Outcome
from .plan import APPLIED, FAULTS, plan
from .storm import sky, weather

#: Runs with kills, crashes, all kinds of faults, each operation and each compression among them.
SEEDS = (2, 3, 13, 20, 23, 24, 25, 36)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalVectorize]:
    with sky() as started:
        yield started


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return []


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_and_nothing_is_wrong_whatever_the_weather(
    local: LocalVectorize, outcomes: list[Outcome], seed: int
) -> None:
    outcomes.append(weather(local, plan(seed)))


@pytest.mark.slow
def test_there_was_weather(outcomes: list[Outcome]) -> None:
    """Or the tests above would prove nothing."""
    if len(outcomes) < len(SEEDS):
        pytest.skip("not all of them ran")
    assert sum(one.faults.total() for one in outcomes) > 50
    assert sum(one.kills for one in outcomes) > 2
    assert sum(one.crashes for one in outcomes) > 1


def test_every_kind_of_fault_and_disaster_is_met_within_a_hundred_seeds() -> None:
    plans = [plan(seed) for seed in range(100)]
    assert {rule["fault"] for made in plans for rule in made.faults} == set(FAULTS)
    assert set(APPLIED) < set(FAULTS)
    assert {disaster for made in plans for disaster, _ in made.disasters} == {"kill", "crash"}
    assert {made.suffix for made in plans} == {"", ".gz", ".zst"}
    assert {made.operation for made in plans} == {"insert", "upsert"}
    assert {made.held for made in plans} == {made.flaps for made in plans} == {True, False}


def test_a_seed_always_makes_the_same_run() -> None:
    assert plan(7) == plan(7)
    assert plan(7) != plan(8)
