"""The in-process local Vectorize itself: each thing that can happen in it."""

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

from .world import ANSWER_LOST, LOST, START, Fate, Sent, World

ONCE = RetryPolicy(total=0)
#: A client that does not wait for requests that it gave up.
NO_LATE_REQUESTS = Limits(late_seconds=0)


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        world.create_index("books")
        yield world


def upsert(client: VectorizeClient, first: int = 0, seed: int = 0) -> str:
    return client.upsert("books", ndjson(make_rows(1, first=first, seed=seed))).mutation_id


def meets(world: World, fate: Fate, operation: str = "upsert", times: int = 1) -> None:
    """Let the next requests of an operation meet a fate."""
    left = [fate] * times
    world.choose_fate = lambda sent: left.pop() if left and sent.operation == operation else Fate()


def writes(world: World) -> list[Sent]:
    """Return the requests that write. A client also reads the index before its first write."""
    return [sent for sent in world.sent if sent.write]


def test_fold_applies_the_oldest_mutations_and_shows_the_last_of_them(world: World) -> None:
    client = world.client()
    ids = [upsert(client, first=number) for number in range(5)]
    assert world.log("books") == world.pending("books") == ids
    assert world.fold("books", 3) == tuple(ids[:3])
    assert client.get_index_info("books").processed_up_to_mutation == ids[2]
    assert client.get_index_info("books").vector_count == 3
    assert [world.is_applied(one) for one in ids] == [True, True, True, False, False]
    assert world.fold("books") == tuple(ids[3:])
    assert world.fold("books") == ()
    assert world.applied("books") == ids
    digest = LocalVectorize.digest(make_rows(1)[0]["values"])
    assert world.vectors("books") == {f"v{number}": digest for number in range(5)}


def test_scheduled_fold_happens_while_a_client_waits(world: World) -> None:
    client = world.client(retry=RetryPolicy(total=60, first=10, longest=10))
    mutation = upsert(client)
    world.schedule(3, lambda: world.fold("books"))
    meets(world, Fate(answer=500), "info")
    assert client.get_index_info("books").processed_up_to_mutation == mutation
    assert world.now > START + 3
    assert [sent.operation for sent in world.sent][-3:] == ["upsert", "info", "info"]


def test_replica_shows_an_earlier_batch(world: World) -> None:
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


def test_replica_shows_an_earlier_incarnation_or_none(world: World) -> None:
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


def test_write_is_never_carried_out_by_a_replica(world: World) -> None:
    world.advance(10)
    meets(world, Fate(lag=1_000.0))
    mutation = upsert(world.client())
    assert world.pending("books") == [mutation]


def test_lost_request_is_not_carried_out(world: World) -> None:
    meets(world, LOST)
    with pytest.raises(NoAnswerError):
        upsert(world.client(retry=ONCE, timeout=110.0, limits=NO_LATE_REQUESTS))
    assert world.now == pytest.approx(START + 110, abs=1)
    assert world.log("books") == writes(world)[0].mutation_ids == []


@pytest.mark.parametrize("fate", [ANSWER_LOST, Fate(answer="cut"), Fate(answer=524), Fate(answer=500)])
def test_lost_answer_leaves_the_mutation_in_the_log(world: World, fate: Fate) -> None:
    meets(world, fate)
    with pytest.raises(TransientApiError):
        upsert(world.client(retry=ONCE))
    assert world.log("books") == writes(world)[0].mutation_ids != []


def test_late_request_is_carried_out_after_its_resend(world: World) -> None:
    meets(world, Fate(carried_out=(200.0,), answer="timeout"))
    acknowledged = upsert(world.client(retry=RetryPolicy(total=600, first=1, longest=1), limits=NO_LATE_REQUESTS))
    assert world.log("books") == [acknowledged]
    world.advance(200)
    late, resent = writes(world)
    assert world.log("books") == [acknowledged, *late.mutation_ids]
    assert resent.mutation_ids == [acknowledged]


def test_request_may_be_carried_out_twice(world: World) -> None:
    meets(world, Fate(carried_out=(0.0, 5.0)))
    acknowledged = upsert(world.client())
    world.advance(10)
    assert world.log("books") == writes(world)[0].mutation_ids
    assert len(world.log("books")) == 2
    assert world.log("books")[0] == acknowledged


def test_late_request_meets_the_index_that_then_has_the_name(world: World) -> None:
    meets(world, Fate(carried_out=(20.0,), answer="cut"))
    with pytest.raises(NoAnswerError):
        upsert(world.client(retry=ONCE, limits=NO_LATE_REQUESTS))
    world.delete_index("books")
    world.create_index("books")
    world.advance(30)
    assert [len(one.log) for one in world.incarnations("books")] == [0, 1]
    assert [one.deleted for one in world.incarnations("books")] == [True, False]


def test_date_header_may_be_wrong_or_missing(world: World) -> None:
    client = world.client()
    right = client.upsert("books", ndjson(make_rows(1))).accepted_at
    assert right is not None
    meets(world, Fate(date_skew=-30.0))
    wrong = client.upsert("books", ndjson(make_rows(1))).accepted_at
    assert wrong is not None
    assert right - wrong >= timedelta(seconds=29)
    meets(world, Fate(date_skew=None))
    assert client.upsert("books", ndjson(make_rows(1))).accepted_at is None


def test_watermark_clock_may_be_wrong() -> None:
    with World(watermark_skew=-2.0) as world:
        world.create_index("books")
        client = world.client()
        accepted_at = client.upsert("books", ndjson(make_rows(1))).accepted_at
        world.fold("books")
        info = client.get_index_info("books")
        assert info.processed_up_to_datetime is not None
        assert accepted_at is not None
        assert info.processed_up_to_datetime < accepted_at


def test_stalled_request_takes_its_time(world: World) -> None:
    other = world.client("other")
    world.schedule(30, lambda: upsert(other))
    meets(world, Fate(travel=60.0))
    mine = upsert(world.client("mine"))
    assert [sent.client for sent in writes(world)] == ["mine", "other"]
    assert world.log("books")[1] == mine
    assert world.now >= START + 60


def test_problems_answer_in_place_of_the_api(world: World) -> None:
    client = world.client(retry=ONCE)
    meets(world, Fate(carried_out=(), answer=Throttled()))
    with pytest.raises(RateLimitedError):
        upsert(client)
    with pytest.raises(AuthError):
        upsert(world.client(read_only=True))
    assert world.client(read_only=True).get_index_info("books").vector_count == 0
    assert world.log("books") == []


def test_foreign_mutation_moves_only_the_watermark(world: World) -> None:
    client = world.client()
    mine, foreign = upsert(client), world.foreign_mutation("books")
    assert world.fold("books") == (mine, foreign)
    info = client.get_index_info("books")
    assert (info.processed_up_to_mutation, info.vector_count) == (foreign, 1)


def test_budget_blocks_in_virtual_time() -> None:
    with World(budget="3/300") as world:
        world.create_index("books")
        client = world.client(retry=ONCE)
        for _ in range(3):
            world.client(retry=ONCE).get_index_info("books")
        with pytest.raises(RateLimitedError):
            world.client(retry=ONCE).get_index_info("books")
        world.advance(301)
        assert client.get_index_info("books").vector_count == 0


def test_two_worlds_with_the_same_fates_end_in_the_same_state() -> None:
    def run() -> tuple[list[tuple[str, float]], dict[str, str], list[Vector]]:
        random.seed(1)  # the jitter of retries
        with World() as world:
            world.create_index("books")
            world.advance(1)

            def choose_fate(sent: Sent) -> Fate:
                lost = sent.write and len(world.sent) % 3 == 0
                return LOST if lost else Fate(carried_out=(0.0, 7.0), lag=len(world.sent) % 5 / 10)

            world.choose_fate = choose_fate
            client = world.client(retry=RetryPolicy(total=600, first=2, longest=2))
            for number in range(10):
                upsert(client, number % 4, seed=number)
                world.schedule(3, lambda: world.fold("books", 2))
            world.advance(100)
            found = client.get_by_ids("books", [f"v{number}" for number in range(4)])
            return [(one.operation, one.begun_at) for one in world.sent], world.vectors("books"), found

    assert run() == run()
