"""When the next request may start. Time is a number here; nobody waits."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.pacing import Clock, Pacer, StoppedError
from airflow_provider_vectorize.api.retry import Budget
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.api.conftest import Time


class Said(list[tuple[float, str]]):
    def __call__(self, seconds: float, reason: str) -> None:
        self.append((seconds, reason))


def test_with_a_large_budget_requests_start_at_once() -> None:
    time = Time()
    pacer = Pacer(0.2, time.clock)
    for left in range(1_200, 1_100, -1):
        pacer.start(Said())
        pacer.finish(Budget(left, 200), 0)
    assert time.waits == []


def test_a_small_budget_is_spread_over_the_window_and_the_reserve_is_left() -> None:
    time, said = Time(), Said()
    pacer = Pacer(0.2, time.clock)
    left = 100
    while time.now < 100 and left > 0:
        pacer.start(said)
        left -= 1
        pacer.finish(Budget(left, 100 - time.now, quota=200), 0)
    assert time.now >= 100
    assert 39 <= left <= 45  # 0.2 of 200
    assert "pacing" in said[0][1]


def test_a_block_holds_everybody_back_until_it_ends() -> None:
    time, said = Time(), Said()
    pacer = Pacer(0.2, time.clock)
    pacer.start(said)
    pacer.finish(None, blocked=30)
    assert pacer.delay() == 30
    pacer.start(said)
    assert time.waits == [30]
    assert "blocks the account" in said[0][1]
    assert pacer.seconds_waited == 30


def test_a_shorter_block_does_not_end_a_longer_one() -> None:
    time = Time()
    pacer = Pacer(0.2, time.clock)
    for blocked in (30, 5):
        pacer.finish(None, blocked)
    assert pacer.delay() == 30


def test_an_answer_without_a_budget_changes_nothing() -> None:
    pacer = Pacer(0.2, Time().clock)
    pacer.start(Said())
    pacer.finish(None, 0)
    assert pacer.delay() == 0


def test_a_stop_ends_the_wait_of_a_thread_at_once() -> None:
    pacer = Pacer(0.2, Clock())
    pacer.start(Said())
    pacer.finish(None, blocked=300)
    ended = threading.Event()

    def run() -> None:
        with pytest.raises(StoppedError):
            pacer.start(Said())
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    pacer.stopped.set()
    assert ended.wait(20)
    thread.join()


def test_a_stopped_pacer_starts_nothing() -> None:
    pacer = Pacer(0.2, Time().clock)
    pacer.stopped.set()
    with pytest.raises(StoppedError):
        pacer.start(Said())


def test_a_client_lives_with_a_small_budget_and_is_never_blocked(
    local_vectorize: LocalVectorize, make_client: Callable[..., VectorizeClient], time: Time
) -> None:
    local_vectorize.set_budget("20/10")
    client = make_client(reserve=0.2)
    for _ in range(60):
        client.list_indexes()
    assert not any(request.in_block for request in local_vectorize.requests())
    assert local_vectorize.status()["budget"]["blocks"] == 0
    assert client.retries == 0
    assert time.now >= 20


def test_a_block_that_somebody_else_caused_is_waited_out(
    local_vectorize: LocalVectorize, make_client: Callable[..., VectorizeClient], time: Time
) -> None:
    local_vectorize.fail("rate_limit", retry_after=240)
    client = make_client()
    assert client.list_indexes() == []
    assert client.retries == 1
    assert 240 <= time.now <= 242
    assert [request.status for request in local_vectorize.requests()] == [429, 200]


def test_a_throttled_index_is_tried_again_without_a_block_for_all(
    local_vectorize: LocalVectorize, make_client: Callable[..., VectorizeClient], time: Time
) -> None:
    local_vectorize.fail("throttle_40041", times=3)
    client = make_client()
    assert client.list_indexes() == []
    assert client.retries == 3
    assert time.now < 10
    assert client.pacer.delay() == 0


def test_without_a_word_of_the_budget_the_documented_quota_paces() -> None:
    time, starts = Time(), []
    pacer = Pacer(0.2, time.clock)
    for _ in range(2_001):
        pacer.start(Said())
        starts.append(time.now)
        pacer.finish(None, 0)
    for first in range(0, 2_001, 100):
        in_window = [one for one in starts if starts[first] <= one < starts[first] + 300]
        assert len(in_window) <= 1_200
    assert 300 < time.now < 1_200


def test_without_a_word_of_the_budget_few_requests_start_at_once() -> None:
    time = Time()
    pacer = Pacer(0.2, time.clock)
    for _ in range(500):
        pacer.start(Said())
        pacer.finish(None, 0)
    assert time.waits == []


def test_a_budget_that_is_said_later_counts_from_then_on() -> None:
    time = Time()
    pacer = Pacer(0.2, time.clock)
    pacer.start(Said())
    pacer.finish(None, 0)
    pacer.start(Said())
    pacer.finish(Budget(10, 60, quota=1_200), 0)
    assert pacer.delay() == 60


def test_an_answer_without_a_budget_does_not_replace_what_is_known() -> None:
    pacer = Pacer(0.2, Time().clock)
    pacer.start(Said())
    pacer.finish(Budget(10, 60, quota=1_200), 0)
    pacer.finish(None, 0)
    assert pacer.delay() == 60
