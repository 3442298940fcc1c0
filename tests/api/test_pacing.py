"""Pacing of requests. These tests use a fake clock and never wait."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.pacing import Clock, Pacer, StoppedError
from airflow_provider_vectorize.api.retry import Budget
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.api.conftest import FakeTime


class LoggedWaits(list[tuple[float, str]]):
    def __call__(self, seconds: float, reason: str) -> None:
        self.append((seconds, reason))


def test_pacer_large_budget_starts_requests_immediately() -> None:
    fake_time = FakeTime()
    pacer = Pacer(0.2, fake_time.clock)
    for left in range(1_200, 1_100, -1):
        pacer.start(LoggedWaits())
        pacer.finish(Budget(left, 200), 0)
    assert fake_time.waits == []


def test_pacer_small_budget_is_spread_and_keeps_reserve() -> None:
    fake_time, logged_waits = FakeTime(), LoggedWaits()
    pacer = Pacer(0.2, fake_time.clock)
    left = 100
    while fake_time.now < 100 and left > 0:
        pacer.start(logged_waits)
        left -= 1
        pacer.finish(Budget(left, 100 - fake_time.now, quota=200), 0)
    assert fake_time.now >= 100
    assert 39 <= left <= 45  # 0.2 of 200
    assert "pacing" in logged_waits[0][1]


def test_pacer_block_delays_all_requests() -> None:
    fake_time, logged_waits = FakeTime(), LoggedWaits()
    pacer = Pacer(0.2, fake_time.clock)
    pacer.start(logged_waits)
    pacer.finish(None, blocked=30)
    assert pacer.delay() == 30
    pacer.start(logged_waits)
    assert fake_time.waits == [30]
    assert "blocks the account" in logged_waits[0][1]
    assert pacer.seconds_waited == 30


def test_pacer_shorter_block_does_not_end_longer_block() -> None:
    fake_time = FakeTime()
    pacer = Pacer(0.2, fake_time.clock)
    for blocked in (30, 5):
        pacer.finish(None, blocked)
    assert pacer.delay() == 30


def test_pacer_answer_without_budget_causes_no_delay() -> None:
    pacer = Pacer(0.2, FakeTime().clock)
    pacer.start(LoggedWaits())
    pacer.finish(None, 0)
    assert pacer.delay() == 0


def test_pacer_stop_ends_wait_of_thread() -> None:
    pacer = Pacer(0.2, Clock())
    pacer.start(LoggedWaits())
    pacer.finish(None, blocked=300)
    stopped = threading.Event()

    def run() -> None:
        with pytest.raises(StoppedError):
            pacer.start(LoggedWaits())
        stopped.set()

    thread = threading.Thread(target=run)
    thread.start()
    pacer.stopped.set()
    assert stopped.wait(20)
    thread.join()


def test_pacer_stopped_starts_no_request() -> None:
    pacer = Pacer(0.2, FakeTime().clock)
    pacer.stopped.set()
    with pytest.raises(StoppedError):
        pacer.start(LoggedWaits())


def test_client_with_small_budget_is_never_blocked(
    local_vectorize: LocalVectorize, make_client: Callable[..., VectorizeClient], fake_time: FakeTime
) -> None:
    local_vectorize.set_budget("20/10")
    client = make_client(reserve=0.2)
    for _ in range(60):
        client.list_indexes()
    assert not any(request.in_block for request in local_vectorize.requests())
    assert local_vectorize.status()["budget"]["blocks"] == 0
    assert client.retries == 0
    assert fake_time.now >= 20


def test_client_waits_for_end_of_rate_limit_block(
    local_vectorize: LocalVectorize, make_client: Callable[..., VectorizeClient], fake_time: FakeTime
) -> None:
    local_vectorize.fail("rate_limit", retry_after=240)
    client = make_client()
    assert client.list_indexes() == []
    assert client.retries == 1
    assert 240 <= fake_time.now <= 242
    assert [request.status for request in local_vectorize.requests()] == [429, 200]


def test_client_throttled_index_retries_without_block(
    local_vectorize: LocalVectorize, make_client: Callable[..., VectorizeClient], fake_time: FakeTime
) -> None:
    local_vectorize.fail("throttle_40041", times=3)
    client = make_client()
    assert client.list_indexes() == []
    assert client.retries == 3
    assert fake_time.now < 10
    assert client.pacer.delay() == 0


def test_pacer_without_reported_budget_uses_documented_quota() -> None:
    fake_time, starts = FakeTime(), []
    pacer = Pacer(0.2, fake_time.clock)
    for _ in range(2_001):
        pacer.start(LoggedWaits())
        starts.append(fake_time.now)
        pacer.finish(None, 0)
    for first in range(0, 2_001, 100):
        in_window = [start for start in starts if starts[first] <= start < starts[first] + 300]
        assert len(in_window) <= 1_200
    assert 300 < fake_time.now < 1_200


def test_pacer_without_reported_budget_starts_few_requests_immediately() -> None:
    fake_time = FakeTime()
    pacer = Pacer(0.2, fake_time.clock)
    for _ in range(500):
        pacer.start(LoggedWaits())
        pacer.finish(None, 0)
    assert fake_time.waits == []


def test_pacer_budget_reported_later_is_used() -> None:
    fake_time = FakeTime()
    pacer = Pacer(0.2, fake_time.clock)
    pacer.start(LoggedWaits())
    pacer.finish(None, 0)
    pacer.start(LoggedWaits())
    pacer.finish(Budget(10, 60, quota=1_200), 0)
    assert pacer.delay() == 60


def test_pacer_answer_without_budget_keeps_known_budget() -> None:
    pacer = Pacer(0.2, FakeTime().clock)
    pacer.start(LoggedWaits())
    pacer.finish(Budget(10, 60, quota=1_200), 0)
    pacer.finish(None, 0)
    assert pacer.delay() == 60
