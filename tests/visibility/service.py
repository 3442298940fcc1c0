"""What happens to the service of a random world: jobs, stalls, other writers, re-created indexes, and lost answers."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Self

from airflow_provider_vectorize.local.engine.data_problems import Throttled

from .actors import ActorWorld
from .fate import Fate, Sent

#: Seconds that the clients of a world wait for an answer.
TIMEOUT = 10.0
#: Seconds that a replica may lag behind, at the most.
MOST_LAG = 20.0
INDEXES = ("docs", "other")


@dataclass(frozen=True)
class Conditions:
    """How the service behaves in one world.

    :param jobs: Shortest and longest duration of a job, in seconds.
    :param folded: Most mutations that one job takes.
    :param lagging: Share of reads that a lagging replica answers.
    :param lag: Seconds that it lags, at the most.
    :param trouble: Share of requests that something happens to.
    :param foreign: Mutations of other writers in a second.
    :param stall: First and last second of a stall of all jobs.
    :param recreated: Second at which "docs" is deleted, and after how many more it is created again.
    :param watermark_skew: Seconds by which the clock of the jobs is wrong.
    :param date_skews: Seconds by which ``Date`` may be wrong; ``None`` is a missing header.
    :param quiet_after: Second after which only markers are written.
    """

    jobs: tuple[float, float] = (5.0, 30.0)
    folded: int = 1_000
    lagging: float = 0.0
    lag: float = MOST_LAG
    trouble: float = 0.0
    foreign: float = 0.0
    stall: tuple[float, float] | None = None
    recreated: tuple[float, float] | None = None
    watermark_skew: float = 0.0
    date_skews: tuple[float | None, ...] = (0.0,)
    quiet_after: float = 300.0

    @classmethod
    def random(cls, r: Random) -> Self:
        """Draw the conditions of a world."""
        skews = r.uniform(-10, 10), r.uniform(-10, 10)
        begin = r.uniform(20, 150)
        return cls(
            jobs=r.choice([(1.0, 5.0), (5.0, 30.0), (20.0, 60.0)]),
            folded=r.choice([1, 2, 4, 1_000]),
            lagging=r.choice([0.0, 0.3, 0.6]),
            lag=r.choice([3.0, 8.0, MOST_LAG]),
            trouble=r.choice([0.0, 0.1, 0.3]),
            foreign=r.choice([0.0, 0.05, 0.1, 0.3]),
            stall=(begin, begin + r.uniform(60, 250)) if r.random() < 0.2 else None,
            recreated=(r.uniform(5, 200), r.choice([0.1, 1.0, r.uniform(1, 40)])) if r.random() < 0.3 else None,
            watermark_skew=r.choice([0.0, 0.0, -3.0, -30.0, 30.0]),
            date_skews=r.choice([(0.0,), (0.0, None), (*skews, None)]),
        )


class Service:
    """Lets a world behave under some conditions.

    :param r: Decides everything that is left open.
    """

    def __init__(self, world: ActorWorld, conditions: Conditions, r: Random) -> None:
        self._world = world
        self._conditions = conditions
        self._r = r
        self._begun_at = world.now
        self.deleted_at: dict[tuple[str, int], float] = {}  #: by index and number of the incarnation
        world.choose_fate = self._fate
        for name in INDEXES:
            world.create_index(name)
            for _ in range(r.choice([0, 0, 10, 30]) if conditions.foreign else 0):
                world.foreign_mutation(name)
            world.schedule(r.uniform(0, 5), lambda name=name: self._begin_job(name))
        if conditions.foreign:
            world.schedule(0, self._write_as_another)
        if conditions.recreated:
            world.schedule(conditions.recreated[0], self._delete)

    @property
    def quiet(self) -> bool:
        """Whether only markers are still written."""
        return self._world.now - self._begun_at >= self._conditions.quiet_after

    def _begin_job(self, name: str) -> None:
        elapsed, stall = self._world.now - self._begun_at, self._conditions.stall
        if stall and stall[0] <= elapsed < stall[1]:
            self._world.schedule(stall[1] - elapsed + 1.0, lambda: self._begin_job(name))
            return
        pending = len(self._world.pending(name)) if self._world.exists(name) else 0
        if not pending:
            self._world.schedule(1.0, lambda: self._begin_job(name))
            return
        taken = pending if self.quiet else min(pending, self._r.randint(1, self._conditions.folded))
        number = len(self._world.incarnations(name))
        self._world.schedule(self._r.uniform(*self._conditions.jobs), lambda: self._end_job(name, number, taken))

    def _end_job(self, name: str, number: int, taken: int) -> None:
        if self._world.exists(name) and len(self._world.incarnations(name)) == number:
            self._world.fold(name, taken)
        self._begin_job(name)

    def _write_as_another(self) -> None:
        if not self.quiet:
            for name in INDEXES:
                if self._world.exists(name):
                    self._world.foreign_mutation(name)
            self._world.schedule(self._r.expovariate(self._conditions.foreign), self._write_as_another)

    def _delete(self) -> None:
        assert self._conditions.recreated
        self.deleted_at["docs", len(self._world.incarnations("docs")) - 1] = self._world.now
        self._world.delete_index("docs")
        self._world.schedule(self._conditions.recreated[1], lambda: self._world.create_index("docs"))

    def _fate(self, sent: Sent) -> Fate:
        r, conditions = self._r, self._conditions
        travel = r.uniform(0.02, 1.5)
        back = r.uniform(3, 9) if sent.write and r.random() < 0.15 else r.uniform(0.02, 0.5)  # some overtake others
        skew = r.choice(conditions.date_skews)
        usual = Fate(travel=travel, answer_travel=back, date_skew=skew)
        happens = r.random() < conditions.trouble
        if not sent.write:
            if happens and r.random() < 0.2:
                return r.choice([Fate(travel, (), "timeout"), Fate(travel, (), 524), Fate(travel, (), "cut")])
            behind = r.uniform(0, conditions.lag) if r.random() < conditions.lagging else 0.0
            return Fate(travel=travel, answer_travel=back, lag=behind, date_skew=skew)
        if not happens:
            return usual
        late = TIMEOUT + r.uniform(0, 100)
        return r.choice([
            Fate(travel, (), "timeout"),
            Fate(travel, (0.0,), "timeout"),
            Fate(travel, (0.0,), r.choice(["cut", 500, 524])),
            Fate(travel, (late,), r.choice(["timeout", "cut"])),
            Fate(travel, (0.0, r.uniform(0.5, 40)), answer_travel=back, date_skew=skew),
            Fate(r.uniform(2, 9), (0.0,), answer_travel=back, date_skew=skew),
            Fate(travel, (), Throttled()) if r.random() < 0.1 else usual,
        ])
