"""Tests of the world itself, the local Vectorize on virtual time: every event that it can simulate."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.models import Vector
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import (
    AuthError,
    IndexNotFoundError,
    NoAnswerError,
    RateLimitedError,
    TransientApiError,
)
from airflow_provider_vectorize.local.engine.data_problems import Throttled
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.support import make_rows, ndjson

from .world import ANSWER_LOST, LOST, START, Fate, SentRequest, World

ONCE = RetryPolicy(total=0)
#: Limits of a client that does not wait for abandoned requests.
WITHOUT_LATE_WAIT = Limits(late_seconds=0)


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        world.create_index("books")
        yield world


def upsert(client: VectorizeClient, first: int = 0, seed: int = 0) -> str:
    return client.upsert("books", ndjson(make_rows(1, first=first, seed=seed))).mutation_id


def set_fate(world: World, fate: Fate, operation: str = "upsert", times: int = 1) -> None:
    """Set the fate of the next requests of an operation."""
    remaining = [fate] * times
    world.choose_fate = lambda sent: remaining.pop() if remaining and sent.operation == operation else Fate()


def writes(world: World) -> list[SentRequest]:
    """Return the write requests. A client also reads the index before its first write."""
    return [sent for sent in world.sent if sent.write]


def test_world_fold_applies_the_oldest_mutations_and_shows_the_last(world: World) -> None:
    client = world.client()
    ids = [upsert(client, first=number) for number in range(5)]
    assert world.log("books") == world.pending("books") == ids
    assert world.fold("books", 3) == tuple(ids[:3])
    assert client.get_index_info("books").processed_up_to_mutation == ids[2]
    assert client.get_index_info("books").vector_count == 3
    assert [world.is_applied(mutation_id) for mutation_id in ids] == [True, True, True, False, False]
    assert world.fold("books") == tuple(ids[3:])
    assert world.fold("books") == ()
    assert world.applied("books") == ids
    digest = LocalVectorize.digest(make_rows(1)[0]["values"])
    assert world.vectors("books") == {f"v{number}": digest for number in range(5)}


def test_world_scheduled_fold_runs_while_a_client_waits(world: World) -> None:
    client = world.client(retry=RetryPolicy(total=60, first=10, longest=10))
    mutation = upsert(client)
    world.schedule(3, lambda: world.fold("books"))
    set_fate(world, Fate(answer=500), "info")
    assert client.get_index_info("books").processed_up_to_mutation == mutation
    assert world.now > START + 3
    assert [sent.operation for sent in world.sent][-3:] == ["upsert", "info", "info"]


def test_world_lagging_replica_shows_an_earlier_batch(world: World) -> None:
    client = world.client()
    first = upsert(client, seed=1)
    world.fold("books")
    earlier = client.get_by_ids("books", ["v0"])
    world.advance(10)
    second = upsert(client, seed=2)
    world.fold("books")
    world.choose_fate = lambda sent: Fate(lag=5.0)
    assert client.get_index_info("books").processed_up_to_mutation == first
    assert client.get_by_ids("books", ["v0"]) == earlier
    assert client.query("books", vector=earlier[0].values).matches[0].score == pytest.approx(1)
    world.choose_fate = lambda sent: Fate()
    assert client.get_index_info("books").processed_up_to_mutation == second
    assert client.get_by_ids("books", ["v0"]) != earlier
    assert client.query("books", vector=earlier[0].values).matches[0].score < 0.9


def test_world_lagging_replica_shows_an_earlier_incarnation_or_no_index(world: World) -> None:
    client = world.client()
    mutation = upsert(client)
    world.fold("books")
    created_on = world.created_on("books")
    world.advance(10)
    world.delete_index("books")
    world.advance(10)
    world.create_index("books")
    fresh = client.get_index_info("books")
    assert (fresh.vector_count, fresh.processed_up_to_mutation) == (0, None)
    assert client.get_index("books").created_on == world.created_on("books") != created_on
    assert not world.is_applied(mutation)
    world.choose_fate = lambda sent: Fate(lag=15.0)
    assert client.get_index("books").created_on == created_on
    assert client.get_index_info("books").processed_up_to_mutation == mutation
    assert [vector.id for vector in client.get_by_ids("books", ["v0"])] == ["v0"]
    world.choose_fate = lambda sent: Fate(lag=5.0)
    for read in (client.get_index, client.get_index_info):
        with pytest.raises(IndexNotFoundError):
            read("books")
    assert client.list_indexes() == []
    world.choose_fate = lambda sent: Fate(lag=1_000.0)
    with pytest.raises(IndexNotFoundError):
        client.get_index_info("books")


def test_world_write_with_lag_is_applied_to_the_authoritative_state(world: World) -> None:
    world.advance(10)
    set_fate(world, Fate(lag=1_000.0))
    mutation = upsert(world.client())
    assert world.pending("books") == [mutation]


def test_world_lost_request_is_not_carried_out(world: World) -> None:
    set_fate(world, LOST)
    with pytest.raises(NoAnswerError):
        upsert(world.client(retry=ONCE, timeout=110.0, limits=WITHOUT_LATE_WAIT))
    assert world.now == pytest.approx(START + 110, abs=1)
    assert world.log("books") == writes(world)[0].mutation_ids == []


@pytest.mark.parametrize("fate", [ANSWER_LOST, Fate(answer="cut"), Fate(answer=524), Fate(answer=500)])
def test_world_lost_answer_leaves_the_mutation_in_the_log(world: World, fate: Fate) -> None:
    set_fate(world, fate)
    with pytest.raises(TransientApiError):
        upsert(world.client(retry=ONCE))
    assert world.log("books") == writes(world)[0].mutation_ids != []


def test_world_late_request_is_carried_out_after_its_retry(world: World) -> None:
    set_fate(world, Fate(carried_out=(200.0,), answer="timeout"))
    acknowledged = upsert(world.client(retry=RetryPolicy(total=600, first=1, longest=1), limits=WITHOUT_LATE_WAIT))
    assert world.log("books") == [acknowledged]
    world.advance(200)
    late, retry = writes(world)
    assert world.log("books") == [acknowledged, *late.mutation_ids]
    assert retry.mutation_ids == [acknowledged]


def test_world_request_carried_out_twice_logs_two_mutations(world: World) -> None:
    set_fate(world, Fate(carried_out=(0.0, 5.0)))
    acknowledged = upsert(world.client())
    world.advance(10)
    assert world.log("books") == writes(world)[0].mutation_ids
    assert len(world.log("books")) == 2
    assert world.log("books")[0] == acknowledged


def test_world_late_request_writes_to_the_recreated_index(world: World) -> None:
    set_fate(world, Fate(carried_out=(20.0,), answer="cut"))
    with pytest.raises(NoAnswerError):
        upsert(world.client(retry=ONCE, limits=WITHOUT_LATE_WAIT))
    world.delete_index("books")
    world.create_index("books")
    world.advance(30)
    assert [len(incarnation.log) for incarnation in world.incarnations("books")] == [0, 1]
    assert [incarnation.deleted for incarnation in world.incarnations("books")] == [True, False]


def test_world_date_header_can_be_wrong_or_missing(world: World) -> None:
    client = world.client()
    right = client.upsert("books", ndjson(make_rows(1))).accepted_at
    assert right is not None
    set_fate(world, Fate(date_skew=-30.0))
    wrong = client.upsert("books", ndjson(make_rows(1))).accepted_at
    assert wrong is not None
    assert right - wrong >= timedelta(seconds=29)
    set_fate(world, Fate(date_skew=None))
    assert client.upsert("books", ndjson(make_rows(1))).accepted_at is None


def test_world_watermark_clock_can_be_wrong() -> None:
    with World(watermark_skew=-2.0) as world:
        world.create_index("books")
        client = world.client()
        accepted_at = client.upsert("books", ndjson(make_rows(1))).accepted_at
        world.fold("books")
        info = client.get_index_info("books")
        assert info.processed_up_to_datetime is not None
        assert accepted_at is not None
        assert info.processed_up_to_datetime < accepted_at


def test_world_stalled_request_is_overtaken_by_a_later_one(world: World) -> None:
    other = world.client("other")
    world.schedule(30, lambda: upsert(other))
    set_fate(world, Fate(travel=60.0))
    mine = upsert(world.client("mine"))
    assert [sent.client for sent in writes(world)] == ["mine", "other"]
    assert world.log("books")[1] == mine
    assert world.now >= START + 60


def test_world_problem_as_answer_raises_its_error_in_the_client(world: World) -> None:
    client = world.client(retry=ONCE)
    set_fate(world, Fate(carried_out=(), answer=Throttled()))
    with pytest.raises(RateLimitedError):
        upsert(client)
    with pytest.raises(AuthError):
        upsert(world.client(read_only=True))
    assert world.client(read_only=True).get_index_info("books").vector_count == 0
    assert world.log("books") == []


def test_world_foreign_mutation_changes_only_the_watermark(world: World) -> None:
    client = world.client()
    mine, foreign = upsert(client), world.foreign_mutation("books")
    assert world.fold("books") == (mine, foreign)
    info = client.get_index_info("books")
    assert (info.processed_up_to_mutation, info.vector_count) == (foreign, 1)


def test_world_spent_budget_blocks_requests_in_virtual_time() -> None:
    with World(budget="3/300") as world:
        world.create_index("books")
        client = world.client(retry=ONCE)
        for _ in range(3):
            world.client(retry=ONCE).get_index_info("books")
        with pytest.raises(RateLimitedError):
            world.client(retry=ONCE).get_index_info("books")
        world.advance(301)
        assert client.get_index_info("books").vector_count == 0


def test_world_two_runs_with_the_same_fates_are_identical() -> None:
    def run() -> tuple[list[tuple[str, float]], dict[str, str], list[Vector]]:
        random.seed(1)  # the jitter of retries
        with World() as world:
            world.create_index("books")
            world.advance(1)

            def choose_fate(sent: SentRequest) -> Fate:
                is_lost = sent.write and len(world.sent) % 3 == 0
                return LOST if is_lost else Fate(carried_out=(0.0, 7.0), lag=len(world.sent) % 5 / 10)

            world.choose_fate = choose_fate
            client = world.client(retry=RetryPolicy(total=600, first=2, longest=2))
            for number in range(10):
                upsert(client, number % 4, seed=number)
                world.schedule(3, lambda: world.fold("books", 2))
            world.advance(100)
            vectors = client.get_by_ids("books", [f"v{number}" for number in range(4)])
            return [(request.operation, request.sent_at) for request in world.sent], world.vectors("books"), vectors

    assert run() == run()
