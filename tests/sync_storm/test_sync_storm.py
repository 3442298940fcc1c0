"""Run a few sync storms with every test run. ``make storm-sync`` runs many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.storm.scenario import FAULTS

from .events import KINDS, kind_of
from .outcome import Outcome
from .scenario import make_scenario
from .storm import run_scenario, start_local_vectorize

#: Scenarios with many kills whose state is in files, because an S3 server takes too long.
SEEDS = (6, 7, 11)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalVectorize]:
    with start_local_vectorize() as local_vectorize:
        yield local_vectorize


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return []


@pytest.mark.airflow
@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_sync_storm_scenario_keeps_the_promise(local: LocalVectorize, outcomes: list[Outcome], seed: int) -> None:
    outcomes.append(run_scenario(local, make_scenario(seed)))


@pytest.mark.airflow
@pytest.mark.slow
def test_sync_storm_scenarios_caused_faults_and_kills(outcomes: list[Outcome]) -> None:
    """Without them, the test above would prove nothing."""
    if len(outcomes) < len(SEEDS):
        pytest.skip("not all scenarios ran")
    assert sum(outcome.faults.total() for outcome in outcomes) > 10
    assert sum(outcome.kills.total() for outcome in outcomes) > 5


def test_sync_storm_hundred_seeds_cover_every_event_and_fault() -> None:
    scenarios = [make_scenario(seed) for seed in range(100)]
    nights = [night for scenario in scenarios for night in scenario.nights]
    kills = [attempt.kill for night in nights for attempt in night.attempts if attempt.kill]
    assert {kill.kind for kill in kills} == set(KINDS)
    assert {fault["fault"] for night in nights for fault in night.faults} == set(FAULTS)
    assert {scenario.suffix for scenario in scenarios} == {"", ".gz", ".zst", ".parquet"}
    assert {scenario.stored for scenario in scenarios} == {"file", "s3"}
    assert {row.kind for night in nights for rows in night.attempts[0].source.values() for row in rows} == {
        "good",
        "bad",
        "unreadable",
    }


def test_sync_storm_same_seed_makes_same_scenario() -> None:
    assert make_scenario(7) == make_scenario(7)
    assert make_scenario(7) != make_scenario(8)


@pytest.mark.parametrize(
    ("event", "request_kind", "kind"),
    [
        ("before write owner.json", "upsert", "before write owner"),
        ("after write log/run/00000003.json.gz", "upsert", "after write record"),
        ("after write generations/000002-run.parquet", "upsert", "after write columns"),
        ("before send", "deletion", "before deletion"),
        ("after acknowledgement 3", "deletion", "after acknowledgement of deletion"),
        ("before delete log/run/00000003.json.gz", "deletion", "before delete record"),
    ],
)
def test_kind_of_event_names_what_is_written(event: str, request_kind: str, kind: str) -> None:
    assert kind_of(event, request_kind) == kind
