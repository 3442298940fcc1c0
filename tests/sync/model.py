"""Randomized model test of a sync: several nights with all that goes wrong, on virtual time."""

from __future__ import annotations

import random
from typing import Any
from unittest.mock import patch

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import SourceError, SyncError
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.rows.hashing import RowHasher
from airflow_provider_vectorize.sync import decisions
from airflow_provider_vectorize.sync.options import SyncOptions
from airflow_provider_vectorize.sync.run import SyncRun
from airflow_provider_vectorize.visibility.monitor import IndexMonitor
from tests.support import DIMENSIONS
from tests.visibility.world import Fate, SentRequest, World

from .actors import Actor, Killed
from .inspection import Inspection
from .sources import Fault, MemoryObject, ModelRow, Source, Truth, change, truth_of
from .support import DeadLetterSink, MemoryFolder

INDEX = "docs"
NIGHTS, ATTEMPTS, LAST_NIGHTS = 5, 4, 5
IDS = 6
BRAKE = 0.3
TIMEOUT, LATE_SECONDS = 110.0, 120.0
LIMITS = Limits(vectors_per_request=2, ids_per_delete=2, late_seconds=LATE_SECONDS)


class History:
    """Several nights of one sync.

    :param seed: Decides about everything that happens.
    """

    def __init__(self, seed: int, world: World) -> None:
        self.rng = random.Random(seed)
        self.world = world
        self.folder = MemoryFolder()
        self.source: Source = {}
        self.earlier_sources: list[Source] = []
        self.faults: dict[str, Fault] = {}
        self.parameter = 0
        self.troubled = True
        self.recreated = False
        self.plan: str | None = None
        self.frozen: list[Actor] = []
        self.runs = 0
        self.violations: list[tuple[str, Any]] = []
        self.hasher = RowHasher()
        world.create_index(INDEX, dimensions=DIMENSIONS)
        self.inspection = Inspection(world, INDEX, self.folder, self.hasher)
        world.choose_fate = self.fate
        self._run_job()

    # ---------------------------------------------------------------- the service

    def _run_job(self) -> None:
        self.world.fold(INDEX, self.rng.choice([None, 1, 2, 5]))
        self.world.schedule(self.rng.uniform(2, 20), self._run_job)

    def fate(self, sent: SentRequest) -> Fate:
        rng = self.rng
        if not sent.write:
            lag = rng.uniform(0, 15) if sent.operation == "get_by_ids" and rng.random() < 0.3 else 0.0
            return Fate(lag=lag)
        if not self.troubled or rng.random() < 0.75:
            return Fate()
        late = TIMEOUT + rng.uniform(0, LATE_SECONDS - 10)
        return rng.choice([
            Fate(carried_out=(0.0,), answer="timeout"),
            Fate(carried_out=(), answer="timeout"),
            Fate(carried_out=(late,), answer="timeout"),
            Fate(carried_out=(0.0,), answer=524),  # The retry carries it out twice.
        ])

    def recreate(self) -> None:
        self.world.delete_index(INDEX)
        self.world.create_index(INDEX, dimensions=DIMENSIONS)
        self.recreated = True
        self.inspection.foreign.clear()

    def write_foreign(self) -> None:
        name, content = f"f{self.rng.randrange(3)}", self.rng.randrange(100, 200)
        with self.world.client("foreign", limits=Limits(late_seconds=0)) as client:
            self.troubled, before = False, self.troubled
            client.upsert(INDEX, ModelRow("good", name, content).line() + b"\n")
            self.troubled = before
        self.inspection.foreign[name] = content

    # ---------------------------------------------------------------- the source

    def change_source(self) -> None:
        for _ in range(self.rng.choice([0, 1, 1, 2, 3])):
            self.source = change(self.source, self.earlier_sources, self.rng, IDS)

    def objects(self) -> list[MemoryObject]:
        return [
            MemoryObject(name, self.source[name], self.faults.get(name), self.parameter) for name in sorted(self.source)
        ]

    # ---------------------------------------------------------------- runs

    def start(self, **options: Any) -> Actor:
        self.runs += 1
        number = self.runs
        options = {"delete_vanished": True, "max_deletes": BRAKE, "parameters": {"p": self.parameter}, **options}

        def make(probe: Any) -> Any:
            run = SyncRun(
                lambda: self.world.client(f"run-{number}", limits=LIMITS, timeout=TIMEOUT),
                lambda: IndexMonitor(self.world.monitor_client(f"monitor-{number}"), INDEX),
                INDEX,
                self.objects(),
                self.folder,
                SyncOptions(load=LoadOptions(limits=LIMITS, max_in_flight=1, dead_letters=DeadLetterSink()), **options),  # type: ignore[arg-type]
                run_id=f"{self.rng.randrange(10**6):06d}-{number}",
                probe=probe,
            )
            return run.run

        return Actor(make)

    def drive(self, actor: Actor, kill: float, *, disturbed: bool = True) -> str:
        """Run an actor to its end, or kill or freeze it on the way. Return what happened."""
        rng, committed = self.rng, False
        while not actor.done:
            unanswered = bool(self.world.sent) and self.world.sent[-1].fate.answer != "real"
            if rng.random() < (8 * kill if unanswered else kill):
                if rng.random() < 0.25:
                    self.frozen.append(actor)
                    return "frozen"
                actor.kill()
                return "killed"
            committed = committed or actor.event == "after write current.json"
            if disturbed and not committed and rng.random() < 0.003:
                self.recreate()
            for other in list(self.frozen):
                if rng.random() < 0.4:
                    other.step()
                if other.done:
                    self.frozen.remove(other)
            actor.step()
        return self._outcome(actor)

    def _outcome(self, actor: Actor) -> str:
        error = actor.error
        if error is None:
            return "green"
        if isinstance(error, Killed):
            return "killed"
        if isinstance(error, SyncError) and error.result is not None:
            self.plan = error.plan or self.plan
            return "held"
        if isinstance(error, SyncError):
            return "not committed"
        if isinstance(error, SourceError) and "committed" in str(error):
            return "unfinished"
        if isinstance(error, SourceError) and "names no objects" in str(error):
            return "no source"
        raise error

    def night(self) -> None:
        rng = self.rng
        self.earlier_sources.append(self.source)
        self.change_source()
        self.faults = {rng.choice(sorted(self.source)): rng.choice(["truncated", "gone"])} if self._has_fault() else {}
        if rng.random() < 0.05:
            self.recreate()
        if rng.random() < 0.06:
            self.parameter += 1
        if rng.random() < 0.3:
            self.write_foreign()
        for attempt in range(ATTEMPTS):
            if attempt and rng.random() < 0.3:
                self.change_source()
            if self.attempt(last=attempt == ATTEMPTS - 1) not in ("killed", "frozen", "not committed"):
                return

    def _has_fault(self) -> bool:
        return bool(self.source) and self.rng.random() < 0.12

    def attempt(self, *, last: bool = False) -> str:
        rng = self.rng
        options = {
            "delete_vanished": rng.random() < 0.85,
            "approve": self.plan if rng.random() < 0.6 else None,
            "reconcile": rng.random() < 0.05,
        }
        kill = 0.04 if rng.random() < 0.6 and not last else 0.0
        before = self.inspection.vectors() if not self.frozen else None
        self.recreated = False
        baseline = self.inspection.is_baseline()
        known = set(self.inspection.known()) | self.inspection.logged()
        approved = self.inspection.approved(options["approve"])
        actor = self.start(**options)
        outcome = self.drive(actor, kill)
        self.check(outcome, actor, before, deletes=options["delete_vanished"] and not baseline)
        self._check_brake(actor, len(known), approved)
        return outcome

    def check(self, outcome: str, actor: Actor, before: Any, *, deletes: bool, where: Any = "") -> None:
        """Compare the index with what a run promises."""
        truth = truth_of(self.source)
        found = self.inspection.violations(
            truth,
            self.parameter,
            green=outcome == "green",
            committed=outcome in ("green", "held", "unfinished"),
            deletes=deletes,
            before=None if self.recreated else before,
        )
        if isinstance(actor.error, SyncError) and "not what the state says" in str(actor.error) and not self.recreated:
            found.append(("false audit", str(actor.error)))
        self.violations += [(kind, (self.runs, outcome, what, where)) for kind, what in found]

    def _check_brake(self, actor: Actor, known: int, approved: set[str]) -> None:
        """Check that a run deleted no more than the brake allows besides what was approved."""
        plain = actor.result.to_dict() if actor.result else getattr(actor.error, "result", None)
        if plain and plain["deleted"] and not plain["objects_skipped"] and not truth_of(self.source).good:
            self.violations.append(("empty source deletes", self.runs))
        if plain and plain["deleted"] - len(approved) > max(1, BRAKE * known):
            self.violations.append(("brake", (self.runs, plain["deleted"], known, sorted(approved))))

    def finish(self) -> None:
        """Let the source rest, and check that the sync converges."""
        for actor in self.frozen:
            actor.kill()
        self.frozen, self.faults, self.troubled = [], {}, False
        self.source = {name: [row for row in rows if row.kind != "unreadable"] for name, rows in self.source.items()}
        truth = truth_of(self.source)
        outcome, sent = "", 0
        for night in range(LAST_NIGHTS):
            actor = self.start(approve=self.plan if night else None)
            sent = len(self.world.sent)
            outcome = self.drive(actor, 0, disturbed=False)
            self.check(outcome, actor, None, deletes=False, where="end")
        self._check_end(
            outcome,
            truth,
            sum(request.write and request.client.startswith("run") for request in self.world.sent[sent:]),
        )

    def _check_end(self, outcome: str, truth: Truth, writes: int) -> None:
        if outcome != "green" and truth.good:
            self.violations.append(("does not converge", outcome))
        if outcome == "green":
            left = set(self.inspection.vectors()) - truth.present - set(self.inspection.foreign)
            if left:
                self.violations.append(("left over", sorted(left)))
            if writes and not truth.repeated:
                self.violations.append(("sent again", writes))


def run_history(seed: int) -> list[tuple[str, Any]]:
    """Run one history, and return its violations."""
    with World() as world, patch.object(decisions, "FREE_DELETES", 1):
        history = History(seed, world)
        try:
            for _ in range(NIGHTS):
                history.night()
                if history.violations:
                    return history.violations
            history.finish()
        except Exception as error:  # noqa: BLE001 - a run that fails for another reason is a violation, too
            history.violations.append((f"error {type(error).__name__}", str(error)[:300]))
        finally:
            for actor in history.frozen:
                actor.kill()
        return history.violations
