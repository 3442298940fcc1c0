"""The service of a random world: its jobs, stalls, other writers, re-created indexes, and lost answers."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Self

from airflow_provider_vectorize.local.engine.data_problems import Throttled

from .actors import ActorWorld
from .fate import Fate, SentRequest

#: Read timeout of the clients of a world, in seconds.
TIMEOUT = 10.0
#: Maximum lag of a replica, in seconds.
MAX_LAG = 20.0
INDEXES = ("docs", "other")


@dataclass(frozen=True)
class Conditions:
    """The behavior of the service in one world.

    :param jobs: Shortest and longest duration of a job, in seconds.
    :param folded: Maximum number of mutations that one job applies.
    :param lagging: Share of reads that a lagging replica answers.
    :param lag: Maximum lag of such a replica, in seconds.
    :param trouble: Share of requests that are disturbed.
    :param foreign: Mutations of other writers per second.
    :param stall: Start and end of a stall of all jobs, in seconds since the start of the world.
    :param recreated: Time at which "docs" is deleted, and number of seconds until it is created again.
    :param watermark_skew: Seconds by which the clock of the jobs is wrong.
    :param date_skews: Possible errors of the ``Date`` header, in seconds. ``None`` is a missing header.
    :param quiet_after: Seconds after which only markers are written.
    """

    jobs: tuple[float, float] = (5.0, 30.0)
    folded: int = 1_000
    lagging: float = 0.0
    lag: float = MAX_LAG
    trouble: float = 0.0
    foreign: float = 0.0
    stall: tuple[float, float] | None = None
    recreated: tuple[float, float] | None = None
    watermark_skew: float = 0.0
    date_skews: tuple[float | None, ...] = (0.0,)
    quiet_after: float = 300.0

    @classmethod
    def random(cls, rng: Random) -> Self:
        """Draw the conditions of a world."""
        skews = rng.uniform(-10, 10), rng.uniform(-10, 10)
        stall_start = rng.uniform(20, 150)
        return cls(
            jobs=rng.choice([(1.0, 5.0), (5.0, 30.0), (20.0, 60.0)]),
            folded=rng.choice([1, 2, 4, 1_000]),
            lagging=rng.choice([0.0, 0.3, 0.6]),
            lag=rng.choice([3.0, 8.0, MAX_LAG]),
            trouble=rng.choice([0.0, 0.1, 0.3]),
            foreign=rng.choice([0.0, 0.05, 0.1, 0.3]),
            stall=(stall_start, stall_start + rng.uniform(60, 250)) if rng.random() < 0.2 else None,
            recreated=(rng.uniform(5, 200), rng.choice([0.1, 1.0, rng.uniform(1, 40)])) if rng.random() < 0.3 else None,
            watermark_skew=rng.choice([0.0, 0.0, -3.0, -30.0, 30.0]),
            date_skews=rng.choice([(0.0,), (0.0, None), (*skews, None)]),
        )


class Service:
    """Makes a world behave according to its conditions.

    :param rng: Makes all decisions that the conditions leave open.
    """

    def __init__(self, world: ActorWorld, conditions: Conditions, rng: Random) -> None:
        self._world = world
        self._conditions = conditions
        self._rng = rng
        self._started_at = world.now
        self.deleted_at: dict[
            tuple[str, int], float
        ] = {}  #: time of each deletion by index and number of the incarnation
        world.choose_fate = self._fate
        for name in INDEXES:
            world.create_index(name)
            for _ in range(rng.choice([0, 0, 10, 30]) if conditions.foreign else 0):
                world.foreign_mutation(name)
            world.schedule(rng.uniform(0, 5), lambda name=name: self._begin_job(name))
        if conditions.foreign:
            world.schedule(0, self._write_as_another)
        if conditions.recreated:
            world.schedule(conditions.recreated[0], self._delete)

    @property
    def quiet(self) -> bool:
        """Whether only markers are written from now on."""
        return self._world.now - self._started_at >= self._conditions.quiet_after

    def _begin_job(self, name: str) -> None:
        elapsed, stall = self._world.now - self._started_at, self._conditions.stall
        if stall and stall[0] <= elapsed < stall[1]:
            self._world.schedule(stall[1] - elapsed + 1.0, lambda: self._begin_job(name))
            return
        pending = len(self._world.pending(name)) if self._world.exists(name) else 0
        if not pending:
            self._world.schedule(1.0, lambda: self._begin_job(name))
            return
        taken = pending if self.quiet else min(pending, self._rng.randint(1, self._conditions.folded))
        number = len(self._world.incarnations(name))
        self._world.schedule(self._rng.uniform(*self._conditions.jobs), lambda: self._end_job(name, number, taken))

    def _end_job(self, name: str, number: int, taken: int) -> None:
        if self._world.exists(name) and len(self._world.incarnations(name)) == number:
            self._world.fold(name, taken)
        self._begin_job(name)

    def _write_as_another(self) -> None:
        if not self.quiet:
            for name in INDEXES:
                if self._world.exists(name):
                    self._world.foreign_mutation(name)
            self._world.schedule(self._rng.expovariate(self._conditions.foreign), self._write_as_another)

    def _delete(self) -> None:
        assert self._conditions.recreated
        self.deleted_at["docs", len(self._world.incarnations("docs")) - 1] = self._world.now
        self._world.delete_index("docs")
        self._world.schedule(self._conditions.recreated[1], lambda: self._world.create_index("docs"))

    def _fate(self, sent: SentRequest) -> Fate:
        rng, conditions = self._rng, self._conditions
        travel = rng.uniform(0.02, 1.5)
        back = (
            rng.uniform(3, 9) if sent.write and rng.random() < 0.15 else rng.uniform(0.02, 0.5)
        )  # some answers overtake others
        date_skew = rng.choice(conditions.date_skews)
        undisturbed = Fate(travel=travel, answer_travel=back, date_skew=date_skew)
        disturbed = rng.random() < conditions.trouble
        if not sent.write:
            if disturbed and rng.random() < 0.2:
                return rng.choice([Fate(travel, (), "timeout"), Fate(travel, (), 524), Fate(travel, (), "cut")])
            lag = rng.uniform(0, conditions.lag) if rng.random() < conditions.lagging else 0.0
            return Fate(travel=travel, answer_travel=back, lag=lag, date_skew=date_skew)
        if not disturbed:
            return undisturbed
        late = TIMEOUT + rng.uniform(0, 100)
        return rng.choice([
            Fate(travel, (), "timeout"),
            Fate(travel, (0.0,), "timeout"),
            Fate(travel, (0.0,), rng.choice(["cut", 500, 524])),
            Fate(travel, (late,), rng.choice(["timeout", "cut"])),
            Fate(travel, (0.0, rng.uniform(0.5, 40)), answer_travel=back, date_skew=date_skew),
            Fate(rng.uniform(2, 9), (0.0,), answer_travel=back, date_skew=date_skew),
            Fate(travel, (), Throttled()) if rng.random() < 0.1 else undisturbed,
        ])
