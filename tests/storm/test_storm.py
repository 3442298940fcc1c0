"""Run a few storm scenarios with every test run. ``make storm`` runs many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .budget import Worker, run_workers
from .outcome import Outcome
from .scenario import APPLIED, FAULTS, make_scenario
from .storm import run_scenario, start_local_vectorize

#: Scenarios that together have kills, crashes, all kinds of faults, each operation and each compression.
SEEDS = (1, 2, 3, 13, 20, 23, 24, 25, 36)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalVectorize]:
    with start_local_vectorize() as local_vectorize:
        yield local_vectorize


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return []


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_storm_scenario_loses_and_corrupts_no_vector(local: LocalVectorize, outcomes: list[Outcome], seed: int) -> None:
    outcomes.append(run_scenario(local, make_scenario(seed)))


@pytest.mark.slow
def test_storm_scenarios_caused_faults_kills_and_crashes(outcomes: list[Outcome]) -> None:
    """Without them, the tests above would prove nothing."""
    if len(outcomes) < len(SEEDS):
        pytest.skip("not all scenarios ran")
    assert sum(outcome.faults.total() for outcome in outcomes) > 50
    assert sum(outcome.kills for outcome in outcomes) > 2
    assert sum(outcome.crashes for outcome in outcomes) > 1


def test_storm_hundred_seeds_cover_every_fault_and_disaster() -> None:
    scenarios = [make_scenario(seed) for seed in range(100)]
    assert {rule["fault"] for scenario in scenarios for rule in scenario.faults} == set(FAULTS)
    assert set(APPLIED) < set(FAULTS)
    assert {disaster for scenario in scenarios for disaster, _ in scenario.disasters} == {"kill", "crash"}
    assert {scenario.suffix for scenario in scenarios} == {"", ".gz", ".zst", ".parquet"}
    assert any(scenario.bad for scenario in scenarios if scenario.suffix == ".parquet")
    assert {scenario.parts for scenario in scenarios if scenario.suffix == ".parquet"} == {True, False}
    assert {scenario.processes for scenario in scenarios} == {1, 2}
    assert {scenario.killed_checkers > 0 for scenario in scenarios if scenario.processes > 1} == {True, False}
    assert {scenario.operation for scenario in scenarios} == {"insert", "upsert"}
    assert {scenario.held for scenario in scenarios} == {scenario.flaps for scenario in scenarios} == {True, False}


def test_storm_same_seed_makes_same_scenario() -> None:
    assert make_scenario(7) == make_scenario(7)
    assert make_scenario(7) != make_scenario(8)


def test_workers_that_share_a_budget_load_their_rows() -> None:
    assert "0 during a block" in run_workers(Worker(writes=6, threads=2), Worker(writes=4, threads=1))
