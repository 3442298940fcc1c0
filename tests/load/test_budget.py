"""The account's budget of requests: never overdrawn, by many threads and by processes that do not talk."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise

import pytest

from airflow_provider_vectorize.api.pacing import Clock, Pacer
from airflow_provider_vectorize.api.retry import LONGEST_BLOCK, Budget
from airflow_provider_vectorize.local.engine.budget import Allowance
from airflow_provider_vectorize.local.engine.budget import Budget as Account
from tests.support import make_rows, truth

from .conftest import Books


@dataclass
class Process:
    """A worker: so many requests by so many threads, which share a pacer.

    :param left: requests that are not answered well yet.
    :param latency: seconds on the way, on the average.
    :param served: when each was.
    """

    pacer: Pacer
    left: int
    latency: float
    served: list[float] = field(default_factory=list)


@dataclass
class World:
    """Virtual time: an account as the local Vectorize keeps it, and processes of several threads each."""

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

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def run(self, until: float = math.inf) -> None:
        while self._events and self._events[0][0] < until:
            self.time, _, what = heapq.heappop(self._events)
            what()

    def process(
        self, requests: int, threads: int, reserve: float, starts: float = 0.0, latency: float | None = None
    ) -> Process:
        """One that begins at some time."""
        pacer = Pacer(reserve, Clock(now=self.now, wait=lambda event, seconds: False))
        process = Process(pacer, requests, self.latency if latency is None else latency)
        for _ in range(threads):
            self.at(starts, lambda: self._turn(process))
        return process

    def _turn(self, process: Process) -> None:
        if not process.left:
            return
        due = process.pacer.due()
        if due > 0:
            self.at(self.time + due, lambda: self._turn(process))
            return
        process.left -= 1
        process.pacer.start(lambda seconds, reason: None)
        on_the_way, back = (self.rng.uniform(0, 2 * process.latency) for _ in range(2))
        self.at(self.time + on_the_way, lambda: self._arrive(process, back))

    def _arrive(self, process: Process, back: float) -> None:
        self.arrived += 1
        verdict = self.account.spend("token")
        self.refused += not verdict.allowed
        if verdict.allowed:
            process.served.append(self.time)
        self.at(self.time + back, lambda: self._answer(process, verdict))

    def _answer(self, process: Process, verdict: object) -> None:
        allowed, remaining, reset = verdict.allowed, verdict.left, verdict.reset  # type: ignore[attr-defined]
        budget = Budget(remaining, reset, self.allowance.requests)
        process.pacer.finish(budget, 0.0 if allowed else min(reset, LONGEST_BLOCK))
        process.left += not allowed
        self._turn(process)


# Cloudflare's own, and the one of the issue.
ALLOWANCES = [Allowance(1_200, 300), Allowance(30, 10), Allowance(100, 5)]


#: Without those of which the requests on the wire, of which nobody was told yet, could use up the whole budget.
WORLDS = [
    (allowance, processes, threads)
    for allowance in ALLOWANCES
    for processes in (1, 2, 4)
    for threads in (1, 4, 8)
    if processes * threads <= allowance.requests / 2
]


@pytest.mark.parametrize(("allowance", "processes", "threads"), WORLDS, ids=str)
def test_nobody_is_ever_refused_and_nobody_dawdles(allowance: Allowance, processes: int, threads: int) -> None:
    for seed in range(20):
        rng = random.Random(seed)
        world = World(allowance, rng, latency=rng.choice([0.001, 0.05, 0.5]))
        total = allowance.requests * rng.randint(2, 5)
        for _ in range(rng.choice([0, allowance.requests // 2])):  # what people have spent already
            world.account.spend("token")
        workers = [world.process(total // processes, threads, 0.2, rng.uniform(0, 1)) for _ in range(processes)]
        world.run()
        assert world.refused == 0, f"seed {seed}"
        assert world.arrived == total // processes * processes
        by_budget = (total / (0.8 * allowance.requests - 1) + 2) * allowance.seconds
        by_latency = total * 2 * world.latency / (processes * threads)
        assert world.time <= 1.2 * max(by_budget, by_latency) + 20, f"seed {seed}: {world.time:.0f} s"
        assert all(worker.pacer.waited >= 0 for worker in workers)


@pytest.mark.parametrize("threads", [2, 8, 32])
def test_threads_that_start_together_do_not_overdraw_a_budget_that_is_almost_spent(threads: int) -> None:
    """Before the first answer nothing is known: one asks, the others wait for its answer."""
    for left in (1, 2, 5):
        world = World(Allowance(30, 10), random.Random(left), latency=0.2)
        for _ in range(30 - left):
            world.account.spend("token")
        world.process(40, threads, 0.2)
        world.run()
        assert world.refused == 0
        assert world.arrived == 40


#: Threads, latency and begin of each process: alike, a fast one beside a slow one, a latecomer among many.
CROWDS = {
    "two alike": [(4, 0.05, 0.0)] * 2,
    "eight threads beside one that is slow": [(8, 0.05, 0.0), (1, 0.5, 0.0)],
    "three kinds": [(8, 0.05, 0.0), (4, 0.2, 0.1), (1, 0.5, 0.3)],
    "a latecomer among eight": [*((4, 0.05, 0.1 * n) for n in range(8)), (1, 0.5, 200.0)],
    "sixteen": [(4, 0.05, 0.1 * n) for n in range(16)],
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_no_process_starves_beside_others_however_they_differ(crowd: str) -> None:
    """While all have more to do than the budget allows, each is served often, and its share does not vanish."""
    windows, kinds = 4, CROWDS[crowd]
    for seed in range(5):
        world = World(Allowance(1_200, 300), random.Random(seed), latency=0.05)
        workers = [world.process(10**6, threads, 0.2, starts, latency) for threads, latency, starts in kinds]

        world.run(until=300.0 * windows)

        assert world.refused == 0
        by_all = [sum(300 * n <= at < 300 * (n + 1) for one in workers for at in one.served) for n in range(windows)]
        assert min(by_all) > 0.9 * 0.8 * 1_200, "the budget is used, too"
        for worker, (_, _, starts) in zip(workers, kinds, strict=True):
            silences = [after - before for before, after in pairwise([starts, *worker.served, world.time])]
            assert max(silences) < 100, f"{crowd}, seed {seed}: nobody waits for the window's end"
            for n in range(1, windows):
                served = sum(300 * n <= at < 300 * (n + 1) for at in worker.served)
                assert served > 0.25 * 0.8 * 1_200 / len(kinds), f"{crowd}, seed {seed}"


def test_those_who_look_may_take_what_the_loads_leave() -> None:
    """A load keeps a reserve, a sensor does not: it is served while the load waits."""
    world = World(Allowance(30, 10), random.Random(1), latency=0.01)
    loads = world.process(60, 4, 0.2)
    looks = world.process(5, 1, 0.0, starts=5.0)
    world.run()
    assert world.refused == 0
    assert looks.pacer.waited <= loads.pacer.waited


def test_a_block_that_somebody_else_caused_is_waited_out_by_all_threads() -> None:
    world = World(Allowance(30, 10), random.Random(1), latency=0.01)
    for _ in range(31):
        world.account.spend("token")
    assert world.account.blocks == 1
    world.process(40, 4, 0.2)
    world.run()
    assert world.refused == 1, "the one that found out"
    assert world.account.blocks == 1


def test_answers_that_overtake_each_other_bring_back_no_request_that_is_spent() -> None:
    now = [0.0]
    pacer = Pacer(0.0, Clock(now=lambda: now[0], wait=lambda event, seconds: False))
    for _ in range(3):
        pacer.start(lambda seconds, reason: None)
        pacer.finish(Budget(1_000, 100), 0.0)
    pacer.start(lambda seconds, reason: None)
    pacer.start(lambda seconds, reason: None)
    pacer.finish(Budget(24, 100), 0.0)
    assert pacer.due() > 0
    pacer.finish(Budget(900, 100), 0.0)
    assert pacer.due() > 0
    now[0] = 101
    assert pacer.due() == 0


def test_a_quota_that_changes_is_taken_as_it_is() -> None:
    now = [0.0]
    pacer = Pacer(0.2, Clock(now=lambda: now[0], wait=lambda event, seconds: False))
    for budget in (Budget(1_198, 300, 1_200), Budget(99_999, 300, 100_000)):
        pacer.start(lambda seconds, reason: None)
        pacer.finish(budget, 0.0)
    assert pacer.due() == 0


def test_a_server_that_tells_no_budget_is_not_waited_for() -> None:
    pacer = Pacer(0.2, Clock(now=lambda: 0.0, wait=lambda event, seconds: False))
    pacer.start(lambda seconds, reason: None)
    pacer.finish(None, 0.0)
    for _ in range(50):
        assert pacer.due() == 0
        pacer.start(lambda seconds, reason: None)


def test_a_load_lives_with_a_small_budget_and_is_never_blocked(books: Books) -> None:
    """A real one, with a window of two seconds; the one of ten is in ``make storm``."""
    books.local.set_budget("30/2")
    rows = make_rows(60)
    receipt = books.load(rows, per_request=1, max_in_flight=4)
    assert books.local.status()["budget"]["blocks"] == 0
    assert not any(one.in_block for one in books.local.requests())
    assert receipt.batches == 60
    assert books.dump() == truth(rows)
