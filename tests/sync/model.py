"""Randomized model test of a sync: several nights with all that goes wrong, on virtual time."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import SyncError
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.rows.hashing import UNKNOWN, RowHasher
from airflow_provider_vectorize.sync import decisions
from airflow_provider_vectorize.sync.options import SyncOptions
from airflow_provider_vectorize.sync.run import SyncRun
from airflow_provider_vectorize.visibility.monitor import IndexMonitor
from tests.visibility.world import World

from .actors import COMMITTED, Actor, outcome_of
from .inspection import Inspection
from .service import INDEX, LATE_SECONDS, TIMEOUT, Service
from .sources import Fault, MemoryObject, ModelRow, Source, Truth, all_changed, change, truth_of
from .support import DeadLetterSink, MemoryFolder, PausingFolder

NIGHTS, ATTEMPTS, LAST_NIGHTS = 5, 4, 5
IDS = 6
#: Probabilities that a frozen run continues while another run does one step.
PACES = (0.4, 0.4, 0.02)
#: Beginnings of the events around a commit, at which it matters most what other runs do.
COMMITTING = ("before write generations/", "before write current.json")
#: The last checks before a commit have passed, and current.json is on its way.
IN_FLIGHT = "during write current.json"
BRAKE = 0.3
LIMITS = Limits(vectors_per_request=2, ids_per_delete=1, late_seconds=LATE_SECONDS)


class History:
    """Several nights of one sync. The seed decides about everything that happens."""

    def __init__(self, seed: int, world: World) -> None:
        self.rng = random.Random(seed)
        self.purges, self.restores = seed % 10 == 7, seed % 10 == 3
        self.refusals = random.Random(seed) if seed % 10 == 5 else None
        self.world = world
        self.folder = MemoryFolder()
        self.source: Source = {}
        for _ in range(self.rng.choice([0, 8])):
            self.source = change(self.source, (), self.rng, IDS)
        self.earlier_sources: list[Source] = []
        self.faults: dict[str, Fault] = {}
        self.parameter = 0
        self.plan: str | None = None
        self.frozen: dict[Actor, float] = {}  # With the probability of a step.
        self.runs = 0
        self.violations: list[tuple[str, Any]] = []
        self.service = Service(world, self.rng)
        self.inspection = Inspection(world, INDEX, self.folder, RowHasher())

    # ---------------------------------------------------------------- the source

    def change_source(self) -> None:
        for _ in range(self.rng.choice([0, 1, 1, 2, 3, 5])):
            self.source = change(self.source, self.earlier_sources, self.rng, IDS)

    def objects(self) -> list[MemoryObject]:
        return [
            MemoryObject(name, rows, self.faults.get(name), self.parameter, lambda name=name: self.source.get(name))  # type: ignore[misc]
            for name, rows in sorted(self.source.items())
        ]

    # ---------------------------------------------------------------- runs

    def start(self, **options: Any) -> Actor:
        for name in truth_of(self.source).good.keys() & self.inspection.foreign.keys():
            del self.inspection.foreign[name]  # The source has it, so the sync may write it.
        self.runs += 1
        number = self.runs
        options = {"delete_vanished": True, "max_deletes": BRAKE, "parameters": {"p": self.parameter}, **options}

        def make(probe: Any) -> Any:
            run = SyncRun(
                lambda: self.world.client(f"run-{number}", limits=LIMITS, timeout=TIMEOUT),
                lambda: IndexMonitor(self.world.monitor_client(f"monitor-{number}"), INDEX),
                INDEX,
                self.objects(),
                PausingFolder(self.folder, probe),
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
            if rng.random() < (8 * kill if unanswered or actor.event.startswith((*COMMITTING, IN_FLIGHT)) else kill):
                if rng.random() < 0.4:
                    self.frozen[actor] = rng.choice(PACES)
                    return "frozen"
                actor.kill()
                return "killed"
            committed = committed or actor.event == IN_FLIGHT
            if disturbed and not committed and rng.random() < 0.003:
                self.service.recreate(self.inspection)
            for other, pace in list(self.frozen.items()):
                self._thaw(other, pace, actor.event)
            actor.step()
        self.plan = getattr(actor.error, "plan", "") or self.plan
        return outcome_of(actor)

    def _thaw(self, other: Actor, pace: float, event: str) -> None:
        """Let a frozen run continue, by one step or to its end.

        :param event: Where the run of this attempt is. Before it commits, an earlier write of ``current.json`` arrives.
        """
        if self.rng.random() < pace or (other.event == IN_FLIGHT and event.startswith(COMMITTING)):
            self._step(other)
            if self.rng.random() < 0.2:
                while not other.done:
                    self._step(other)
        if other.done:
            del self.frozen[other]

    def _step(self, run: Actor) -> None:
        """Let a run continue. Before it commits, earlier writes of ``current.json`` arrive: none takes that long."""
        for earlier in self.frozen:
            if earlier is not run and earlier.event == IN_FLIGHT and run.event.startswith(COMMITTING):
                earlier.step()
        run.step()

    def night(self) -> None:
        rng, service, inspection = self.rng, self.service, self.inspection
        self.earlier_sources.append(self.source)
        self.change_source()
        has_fault = self.source and rng.random() < 0.12
        self.faults = {rng.choice(sorted(self.source)): rng.choice(["truncated", "gone"])} if has_fault else {}
        if self.refusals:
            service.refused = self.refusals.sample(
                [f"v{number}" for number in range(IDS)], self.refusals.choice([0, 1, 2])
            )
        if rng.random() < 0.07:
            ours = inspection.known().keys() - truth_of(self.source).present if self._is_quiet() else ()
            service.recreate(inspection, ours)
        if rng.random() < 0.06:
            self.parameter += 1
        if rng.random() < 0.3:
            service.write_foreign(inspection)
        known = {name for name, content in inspection.known().items() if content != UNKNOWN}
        if known and rng.random() < 0.08 and self._is_quiet() and not inspection.is_baseline():
            service.damage(known)
        if rng.random() < 0.15:
            self.overlap()
        if self.inspection.approved(self.plan) and rng.random() < 0.5:
            # More leaves the source than a person has approved.
            self.source = {name: rows[:1] for name, rows in list(self.source.items())[:1]}
        for rows in (IDS, IDS - 2, 1) if self.purges else ():
            self.source = {"a": [ModelRow("good", f"v{number}") for number in range(rows)]}
            self.attempt(last=True)
        if self.restores and (before := self.source):  # Later, an object has its version of before again.
            self.source = all_changed(before)
            self.attempt()
            self.source = {**self.source, min(before): before[min(before)]}
        for attempt in range(ATTEMPTS):
            if attempt and rng.random() < 0.3:
                self.change_source()
            if self.attempt(last=attempt == ATTEMPTS - 1) not in ("killed", "frozen", "not committed"):
                return

    def _is_quiet(self) -> bool:
        """Return whether no earlier run can still write, so that the next run notices what other writers did."""
        return not (self.frozen or self.inspection.logged())

    def attempt(self, *, last: bool = False) -> str:
        rng, inspection, service = self.rng, self.inspection, self.service
        options = {
            "delete_vanished": rng.random() < 0.85,
            "approve": self.plan if rng.random() < 0.6 else None,
            "reconcile": rng.random() < 0.05,
        }
        kill = 0.04 if rng.random() < 0.6 and not last else 0.0
        before = inspection.vectors() if not self.frozen else None
        service.recreated = False
        baseline, known, logged = inspection.is_baseline(), inspection.known(), inspection.logged()
        approved = inspection.approved(options["approve"])
        actor = self.start(**options)
        outcome = self.drive(actor, kill)
        self.check(outcome, actor, before, deletes=options["delete_vanished"] and not baseline)
        if before is None or service.recreated:
            return outcome
        if baseline and (names := inspection.deleted_by(f"run-{self.runs}")):
            self.violations.append(("first run deletes", (self.runs, names)))
        if not logged:
            self._check_deletions(before.keys() - inspection.vectors().keys(), len(known), approved)
        return outcome

    def overlap(self) -> None:
        """Start a run while the commit of another one is on its way, and let it continue after that has arrived."""
        rng = self.rng
        first = self.start(approve=self.plan if self.inspection.approved(self.plan) else None)
        while not first.done and first.event != IN_FLIGHT:
            self._step(first)
        if first.done:
            return
        self.change_source()
        second = self.start()
        for _ in range(rng.choice([5, 10, 20])):
            if not (second.done or second.event.startswith(COMMITTING)):
                second.step()
        while not first.done:
            first.step()
        self.change_source()
        for _ in range(rng.choice([0, 5, 10, 100])):
            if not second.done:
                self._step(second)
        if not second.done:
            second.kill()
        self.check("killed", second, None, deletes=False)  # The source has changed since it started.

    def check(self, outcome: str, actor: Actor, before: Any, *, deletes: bool, where: Any = "") -> None:
        """Compare the index with what a run promises."""
        service, truth = self.service, truth_of(self.source)
        sent = {name: content for name, content in truth.good.items() if name not in service.refused}
        found = self.inspection.violations(
            replace(truth, good=sent),
            self.parameter,
            green=outcome == "green",
            committed=outcome in COMMITTED,
            deletes=deletes,
            before=None if service.recreated else before,
        )
        is_audit = isinstance(actor.error, SyncError) and "not what the state says" in str(actor.error)
        if is_audit and not (service.recreated or service.damaged):
            found.append(("false audit", str(actor.error)))
        service.damaged = service.damaged and outcome not in COMMITTED
        self.violations += [(kind, (self.runs, outcome, what, where)) for kind, what in found]

    def _check_deletions(self, deleted: set[str], known: int, approved: set[str]) -> None:
        """Check that a run deleted no more than the brake allows besides what was approved.

        :param deleted: The IDs that it deleted.
        :param known: Number of IDs in the state.
        """
        if deleted and not truth_of(self.source).good:
            self.violations.append(("empty source deletes", (self.runs, sorted(deleted))))
        if len(deleted - approved) > max(1, BRAKE * known):
            self.violations.append(("brake", (self.runs, sorted(deleted), known, sorted(approved))))

    def finish(self) -> None:
        """Let the source rest, and check that the sync converges, also after another writer has changed a vector."""
        for actor in self.frozen:
            actor.kill()
        self.frozen, self.faults, self.service.troubled, self.service.refused = {}, {}, False, ()
        self.source = {name: [row for row in rows if row.kind != "unreadable"] for name, rows in self.source.items()}
        self.rest()
        known = self.inspection.known()
        if known and not self.violations and self.rng.random() < 0.3:
            self.service.damage(known)
            self.rest()

    def rest(self) -> None:
        """Sync a source that does not change for several nights, and check how they end."""
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
            left = self.inspection.ours() - truth.present
            if left:
                self.violations.append(("left over", sorted(left)))
            if writes and not truth.repeated:
                self.violations.append(("sent again", writes))


def run_history(seed: int) -> list[tuple[str, Any]]:
    """Run one history, and return its violations."""
    random.seed(seed)  # Monitors wait for a random time between two markers.
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
