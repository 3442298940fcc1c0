"""Tests of the monitor with replicas that return different states. The model test found each of these cases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.load import uploader
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.deletion import delete
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.visibility.monitor import IndexMonitor, WaitRequest
from airflow_provider_vectorize.visibility.rule import MarkerKind
from airflow_provider_vectorize.visibility.verdict import Verdict
from airflow_provider_vectorize.visibility.waits import waits_for
from tests.support import FileObject, FileTarget, make_rows, ndjson, write_object

from .actors import ActorWorld
from .fate import Fate, SentRequest
from .world import World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        world.create_index("books")
        world.advance(60)
        yield world


class Sensor:
    """A sensor in poke mode that waits for one mutation."""

    def __init__(self, world: World, mutation: object, marker: MarkerKind = "delete", proof: str = "log") -> None:
        self.checks = 0
        self._world = world
        client = world.monitor_client()
        self._monitor = IndexMonitor(client, "books")
        self._request = WaitRequest(
            tuple(waits_for(mutation, "books")), marker, "read_back" if proof != "log" else "log"
        )

    def check(self) -> Verdict:
        self.checks += 1
        self._world.advance(5)
        return self._monitor.check({"sensor": self._request})[0]["sensor"]


@pytest.mark.parametrize("operation", ["get_by_ids", "query"])
def test_monitor_read_from_a_replica_without_the_index_continues_the_wait(world: World, operation: str) -> None:
    mutation = world.client().upsert("books", ndjson(make_rows(1)))
    sensor = Sensor(world, mutation, "vector")
    world.foreign_mutation("books")
    world.fold("books")
    world.choose_fate = lambda sent: Fate(lag=10_000.0) if sent.operation == operation else Fate()
    for _ in range(10):
        verdict = sensor.check()
        assert not verdict.failure
    assert not verdict.visible
    world.choose_fate = lambda sent: Fate()
    world.fold("books")
    world.foreign_mutation("books")
    world.fold("books")
    assert sensor.check().visible


def test_monitor_replica_without_the_index_is_no_evidence_of_a_deletion(world: World) -> None:
    client = world.client()
    client.upsert("books", ndjson(make_rows(1)))
    world.fold("books")
    mutation = client.delete_by_ids("books", ["v0"])[0]
    receipt = {**mutation, "samples": [{"id": "v0", "digest": "", "new": True}], "accepted_at": None}
    receipt["accepted_at"] = world.created_on("books").isoformat()
    sensor = Sensor(world, receipt, proof="read_back")
    world.choose_fate = lambda sent: Fate(lag=10_000.0) if sent.operation == "get_by_ids" else Fate()
    for _ in range(4):
        verdict = sensor.check()
        assert not verdict.visible
        assert not verdict.failure


def recreate(world: World) -> None:
    world.delete_index("books")
    world.create_index("books")
    world.advance(60)


def test_monitor_index_recreated_between_two_writes_of_a_client_fails(world: World) -> None:
    """The later write stands for the earlier one only within one incarnation of the index."""
    client = world.client()
    first = client.upsert("books", ndjson(make_rows(1)))
    recreate(world)
    second = client.upsert("books", ndjson(make_rows(1, first=1)))
    sensor = Sensor(world, [first, second])
    world.fold("books")
    verdicts = [sensor.check() for _ in range(4)]
    assert not any(verdict.visible for verdict in verdicts)
    assert "deleted and created again" in verdicts[-1].failure


def test_monitor_index_recreated_between_two_pages_of_a_deletion_fails(world: World) -> None:
    client = world.client()
    count = iter(range(100))
    world.choose_fate = lambda sent: (recreate(world) if sent.write and next(count) == 1 else None) or Fate()
    receipt = delete(client, "books", [f"v{number}" for number in range(200)])
    world.choose_fate = lambda sent: Fate()
    assert receipt["batches"] == 2
    sensor = Sensor(world, receipt)
    world.fold("books")
    verdicts = [sensor.check() for _ in range(4)]
    assert not any(verdict.visible for verdict in verdicts)
    assert "deleted and created again" in verdicts[-1].failure


def test_monitor_one_read_of_the_earlier_incarnation_proves_nothing(world: World) -> None:
    """The new incarnation shows a marker while a replica still answers from the old one."""
    client = world.client()
    mutation = client.upsert("books", ndjson(make_rows(1)))
    sensor = Sensor(world, mutation)
    world.foreign_mutation("books")
    world.fold("books")
    sensor.check()
    recreated_at = world.now
    world.delete_index("books")
    world.create_index("books")
    count = iter(range(1_000))

    def one_of_three_lags(sent: SentRequest) -> Fate:
        is_stale = sent.operation == "get_index" and next(count) % 3 == 0
        return Fate(lag=world.now - recreated_at + 1) if is_stale else Fate()

    world.choose_fate = one_of_three_lags
    for _ in range(60):
        if sensor.checks % 4:
            world.fold("books")
        else:
            world.foreign_mutation("books")
        assert not sensor.check().visible
    world.choose_fate = lambda sent: Fate()
    verdicts = [sensor.check() for _ in range(3)]
    assert "deleted and created again" in verdicts[-1].failure


def test_monitor_load_with_a_refused_last_batch_is_sealed_by_a_marker(tmp_path: Path) -> None:
    """The batch that is acknowledged last comes first in the log, so it does not stand for the other batch."""
    with ActorWorld() as world, world.concurrent(uploader):
        world.create_index("books")
        rows = [*make_rows(4), *({"id": f"bad{number}", "values": [1.0]} for number in range(2))]
        path = write_object(tmp_path / "rows.ndjson", ndjson(rows))
        slow_answers = iter([Fate(answer_travel=5.0)])
        world.choose_fate = lambda sent: next(slow_answers, Fate()) if sent.operation == "upsert" else Fate(travel=1.0)
        options = LoadOptions(
            validation="off",
            dead_letters=DeadLetters(FileTarget(tmp_path / "dead_letters.ndjson")),
            max_in_flight=2,
            limits=Limits(vectors_per_request=2),
        )
        receipts: list[Receipt] = []

        def load() -> None:
            client = world.client()
            receipts.append(run(client, "upsert", client.get_index("books"), [FileObject(path)], options))

        world.start(load)
        world.advance(100)
        sensor = Sensor(world, receipts[0].to_dict())
        for _ in range(2):
            world.fold("books", 1)
            assert not sensor.check().visible
        world.fold("books", 1)
        assert sensor.check().visible
