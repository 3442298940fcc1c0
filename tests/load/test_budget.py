"""Test the request budget: many threads and independent processes never exceed it."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise

import pytest

from airflow_provider_vectorize.api.pacing import Clock, Pacer
from airflow_provider_vectorize.api.retry import MAX_BLOCK_SECONDS, Budget
from airflow_provider_vectorize.local.engine.budget import Allowance
from airflow_provider_vectorize.local.engine.budget import Budget as Account
from tests.support import expected_dump, make_rows

from .conftest import BooksIndex


@dataclass
class Process:
    """A worker that sends requests from several threads, which share a pacer.

    :param remaining: Number of requests that have not succeeded yet.
    :param latency: Mean seconds of one way between the worker and the server.
    :param served: The time of each request that was accepted.
    """

    pacer: Pacer
    remaining: int
    latency: float
    served: list[float] = field(default_factory=list)


@dataclass
class World:
    """Virtual time, an account with the budget of the local Vectorize, and processes with several threads each."""

    allowance: Allowance
    rng: random.Random
    latency: float
    time: float = 0.0
    arrived: int = 0
    refused: int = 0
    account: Account = field(init=False)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.account = Account(self.allowance, self)  # type: ignore[arg-type]

    def now(self) -> float:
        return self.time

    def schedule(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), action))

    def run(self, until: float = math.inf) -> None:
        while self._events and self._events[0][0] < until:
            self.time, _, action = heapq.heappop(self._events)
            action()

    def process(
        self, requests: int, threads: int, reserve: float, starts: float = 0.0, latency: float | None = None
    ) -> Process:
        """Start a process at a given time."""
        pacer = Pacer(reserve, Clock(now=self.now, wait=lambda event, seconds: False))
        process = Process(pacer, requests, self.latency if latency is None else latency)
        for _ in range(threads):
            self.schedule(starts, lambda: self._turn(process))
        return process

    def _turn(self, process: Process) -> None:
        if not process.remaining:
            return
        due = process.pacer.delay()
        if due > 0:
            self.schedule(self.time + due, lambda: self._turn(process))
            return
        process.remaining -= 1
        process.pacer.start(lambda seconds, reason: None)
        request_seconds, response_seconds = (self.rng.uniform(0, 2 * process.latency) for _ in range(2))
        self.schedule(self.time + request_seconds, lambda: self._arrive(process, response_seconds))

    def _arrive(self, process: Process, response_seconds: float) -> None:
        self.arrived += 1
        verdict = self.account.spend("token")
        self.refused += not verdict.allowed
        if verdict.allowed:
            process.served.append(self.time)
        self.schedule(self.time + response_seconds, lambda: self._answer(process, verdict))

    def _answer(self, process: Process, verdict: object) -> None:
        allowed, remaining, reset = verdict.allowed, verdict.left, verdict.reset  # type: ignore[attr-defined]
        budget = Budget(remaining, reset, self.allowance.requests)
        process.pacer.finish(budget, 0.0 if allowed else min(reset, MAX_BLOCK_SECONDS))
        process.remaining += not allowed
        self._turn(process)


# Cloudflare's own budget, and smaller ones.
ALLOWANCES = [Allowance(1_200, 300), Allowance(30, 10), Allowance(100, 5)]


#: Combinations whose unanswered requests alone cannot use up the whole budget.
WORLDS = [
    (allowance, processes, threads)
    for allowance in ALLOWANCES
    for processes in (1, 2, 4)
    for threads in (1, 4, 8)
    if processes * threads <= allowance.requests / 2
]


@pytest.mark.parametrize(("allowance", "processes", "threads"), WORLDS, ids=str)
def test_pacer_several_processes_stay_within_budget_without_delay(
    allowance: Allowance, processes: int, threads: int
) -> None:
    for seed in range(20):
        rng = random.Random(seed)
        world = World(allowance, rng, latency=rng.choice([0.001, 0.05, 0.5]))
        total = allowance.requests * rng.randint(2, 5)
        for _ in range(rng.choice([0, allowance.requests // 2])):  # Requests that other users have already sent.
            world.account.spend("token")
        workers = [world.process(total // processes, threads, 0.2, rng.uniform(0, 1)) for _ in range(processes)]
        world.run()
        assert world.refused == 0, f"seed {seed}"
        assert world.arrived == total // processes * processes
        by_budget = (total / (0.8 * allowance.requests - 1) + 2) * allowance.seconds
        by_latency = total * 2 * world.latency / (processes * threads)
        assert world.time <= 1.2 * max(by_budget, by_latency) + 20, f"seed {seed}: {world.time:.0f} s"
        assert all(worker.pacer.seconds_waited >= 0 for worker in workers)


@pytest.mark.parametrize("threads", [2, 8, 32])
def test_pacer_many_threads_do_not_exceed_nearly_spent_budget(threads: int) -> None:
    """Before the first response, the budget is not known: one thread sends a request, and the others wait."""
    for left in (1, 2, 5):
        world = World(Allowance(30, 10), random.Random(left), latency=0.2)
        for _ in range(30 - left):
            world.account.spend("token")
        world.process(40, threads, 0.2)
        world.run()
        assert world.refused == 0
        assert world.arrived == 40


#: Threads, latency and start of each process.
CROWDS = {
    "two equal processes": [(4, 0.05, 0.0)] * 2,
    "eight fast threads and one slow": [(8, 0.05, 0.0), (1, 0.5, 0.0)],
    "three kinds": [(8, 0.05, 0.0), (4, 0.2, 0.1), (1, 0.5, 0.3)],
    "one that starts late among eight": [*((4, 0.05, 0.1 * n) for n in range(8)), (1, 0.5, 200.0)],
    "sixteen equal processes": [(4, 0.05, 0.1 * n) for n in range(16)],
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_pacer_unequal_processes_all_get_requests(crowd: str) -> None:
    """All have more to send than the budget allows. Each is served often and keeps a fair share."""
    windows, kinds = 4, CROWDS[crowd]
    for seed in range(5):
        world = World(Allowance(1_200, 300), random.Random(seed), latency=0.05)
        workers = [world.process(10**6, threads, 0.2, starts, latency) for threads, latency, starts in kinds]

        world.run(until=300.0 * windows)

        assert world.refused == 0
        by_all = [sum(300 * n <= at < 300 * (n + 1) for one in workers for at in one.served) for n in range(windows)]
        assert min(by_all) > 0.9 * 0.8 * 1_200, "the budget must be used"
        for worker, (_, _, starts) in zip(workers, kinds, strict=True):
            silences = [after - before for before, after in pairwise([starts, *worker.served, world.time])]
            assert max(silences) < 100, f"{crowd}, seed {seed}: no process waits for the end of the window"
            for n in range(1, windows):
                served = sum(300 * n <= at < 300 * (n + 1) for at in worker.served)
                assert served > 0.25 * 0.8 * 1_200 / len(kinds), f"{crowd}, seed {seed}"


def test_pacer_without_reserve_uses_what_loads_leave() -> None:
    """A load leaves a reserve and a sensor does not, so the sensor is served while the load waits."""
    world = World(Allowance(30, 10), random.Random(1), latency=0.01)
    loads = world.process(60, 4, 0.2)
    sensor = world.process(5, 1, 0.0, starts=5.0)
    world.run()
    assert world.refused == 0
    assert sensor.pacer.seconds_waited <= loads.pacer.seconds_waited


def test_pacer_foreign_block_makes_all_threads_wait() -> None:
    world = World(Allowance(30, 10), random.Random(1), latency=0.01)
    for _ in range(31):
        world.account.spend("token")
    assert world.account.blocks == 1
    world.process(40, 4, 0.2)
    world.run()
    assert world.refused == 1, "only the request that found the block"
    assert world.account.blocks == 1


def test_pacer_reordered_responses_do_not_restore_budget() -> None:
    now = [0.0]
    pacer = Pacer(0.0, Clock(now=lambda: now[0], wait=lambda event, seconds: False))
    for _ in range(3):
        pacer.start(lambda seconds, reason: None)
        pacer.finish(Budget(1_000, 100), 0.0)
    pacer.start(lambda seconds, reason: None)
    pacer.start(lambda seconds, reason: None)
    pacer.finish(Budget(24, 100), 0.0)
    assert pacer.delay() > 0
    pacer.finish(Budget(900, 100), 0.0)
    assert pacer.delay() > 0
    now[0] = 101
    assert pacer.delay() == 0


def test_pacer_changed_quota_is_adopted() -> None:
    now = [0.0]
    pacer = Pacer(0.2, Clock(now=lambda: now[0], wait=lambda event, seconds: False))
    for budget in (Budget(1_198, 300, 1_200), Budget(99_999, 300, 100_000)):
        pacer.start(lambda seconds, reason: None)
        pacer.finish(budget, 0.0)
    assert pacer.delay() == 0


def test_pacer_without_budget_header_does_not_wait() -> None:
    pacer = Pacer(0.2, Clock(now=lambda: 0.0, wait=lambda event, seconds: False))
    pacer.start(lambda seconds, reason: None)
    pacer.finish(None, 0.0)
    for _ in range(50):
        assert pacer.delay() == 0
        pacer.start(lambda seconds, reason: None)


def test_load_with_small_budget_is_never_blocked(books: BooksIndex) -> None:
    """The load runs in real time with a window of two seconds. ``make storm`` tests ten seconds."""
    books.local.set_budget("30/2")
    rows = make_rows(60)
    receipt = books.load(rows, per_request=1, max_in_flight=4)
    assert books.local.status()["budget"]["blocks"] == 0
    assert not any(request.in_block for request in books.local.requests())
    assert receipt.batches == 60
    assert books.dump() == expected_dump(rows)
