"""Any history of an index: visible is never said too early, nor taken back, and it comes in the end."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.load.receipt import Receipt, Sample
from airflow_provider_vectorize.visibility import (
    AGREEING_READS,
    ALL_QUIET,
    IN_ORDER,
    LATER_BATCHES,
    QUIET,
    READ_BACK,
    WATERMARK,
    Reading,
    Verdict,
    judge,
    to_read_back,
)
from airflow_provider_vectorize.waits import Wait, waits_for

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@dataclass
class History:
    """An index as Vectorize keeps it: a log, batches that take a while, and replicas of which some are behind.

    Times are seconds after noon. Vectors are ids with a version; the loads of others write ids of their own.
    """

    rng: random.Random
    most: int
    now: float = 0.0
    log: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    folded: int = 0
    running: int | None = None
    states: list[tuple[str | None, float, dict[str, str]]] = field(default_factory=lambda: [(None, 0.0, {"old": "v"})])
    flapping: bool = False

    def write(self, vectors: dict[str, str]) -> str:
        self.log.append((f"m{len(self.log)}", vectors))
        return self.log[-1][0]

    def begin_batch(self) -> None:
        if self.running is None and self.folded < len(self.log):
            self.running = min(len(self.log), self.folded + self.rng.randint(1, self.most))

    def end_batch(self) -> None:
        if self.running is not None:
            vectors = dict(self.states[-1][2])
            for _, new in self.log[self.folded : self.running]:
                vectors |= new
            self.folded, self.running = self.running, None
            self.states.append((self.log[self.folded - 1][0], self.now, vectors))

    def state(self) -> tuple[str | None, float, dict[str, str]]:
        return (
            self.states[-2] if self.flapping and len(self.states) > 1 and self.rng.random() < 0.5 else self.states[-1]
        )

    def info(self) -> IndexInfo:
        mutation, processed, _ = self.state()
        return IndexInfo(
            dimensions=2,
            vector_count=7,
            processed_up_to_mutation=mutation,
            processed_up_to_datetime=None if mutation is None else at(processed),
            answered_at=at(self.now).replace(microsecond=0),
        )

    def load(self, name: str, batches: int) -> tuple[Wait, int]:
        """A load as it is: its last batch comes when all others are acknowledged. Returns its end in the log, too."""
        for number in range(batches - 1):
            self.write({f"{name}-{number}": name})
            if self.rng.random() < 0.3:
                self.write({"theirs": "x"})
        if self.rng.random() < 0.5:
            sample, version = "old", "v"  # as last night's load left it
        else:
            sample, version = f"{name}-last", name
        new = self.state()[2].get(sample) != version
        sent_after = self.now
        if self.rng.random() < 0.3:  # it is long on the way, and others are faster
            self.now += 4.0
            self.write({"theirs": "z"})
        mutation = self.write({sample: version})
        end = len(self.log)
        if self.rng.random() < 0.3:  # its answer is
            self.now += 4.0
            self.write({"theirs": "z"})
        receipt = Receipt(
            "upsert",
            "books",
            mutation,
            vectors=batches,
            batches=batches,
            accepted_at=at(int(self.now)).isoformat(),
            sent_after=at(int(sent_after)).isoformat(),
            samples=(Sample(sample, version, new),),
        )
        return waits_for(receipt.to_dict(), None)[0], end


def look(history: History, waits: Sequence[Wait], seen: Mapping[str, Any]) -> Verdict:
    found = history.info()
    verdict = judge(waits, seen, Reading(found))
    ids = to_read_back(waits, verdict.seen, found, 3)
    if ids:
        reads = [
            {one: version for one, version in history.state()[2].items() if one in ids} for _ in range(AGREEING_READS)
        ]
        verdict = judge(waits, verdict.seen, Reading(found, ids, reads))
    return verdict


@pytest.mark.parametrize("flapping", [False, True])
@pytest.mark.parametrize("most", [1, 2, 50])
def test_in_any_history_visible_is_never_said_too_early_nor_taken_back_and_comes_in_the_end(
    most: int, flapping: bool
) -> None:
    """Folded batches, backlogs, other writers, replicas that are behind, vectors that were there before."""
    proofs: dict[str, int] = {}
    for seed in range(400):
        rng = random.Random(f"{seed} {most} {flapping}")
        history = History(rng, most, flapping=flapping)
        waits: list[Wait] = []
        ends: dict[str, int] = {}
        seen: dict[str, Any] = {}
        for name in "ABC"[: rng.randint(1, 3)]:
            wait, end = history.load(name, rng.randint(1, 4))
            waits.append(wait)
            ends[wait.key] = end
            history.now += rng.choice([0.0, 0.4, 3.0, 6.0])
        for _ in range(rng.randint(0, 60)):
            history.now += rng.choice([0.0, 0.1, 1.0, 7.0])
            rng.choice([history.begin_batch, history.end_batch, lambda: history.write({"theirs": "y"})])()  # noqa: B023
            before = dict(seen.get("proved", {}))
            verdict = look(history, waits, seen)
            seen = json.loads(json.dumps(verdict.seen))
            assert before.items() <= seen["proved"].items(), "a proof was taken back"
            assert verdict.visible == (set(seen["proved"]) == set(ends))
            for key, proof in seen["proved"].items():
                if proof in (WATERMARK, IN_ORDER, READ_BACK):
                    assert history.folded >= ends[key], f"{seed}: {proof}, but it is not"
        # The rest is folded, the replicas agree, and nobody writes any more: it has to end.
        history.flapping = False
        while history.folded < len(history.log):
            history.now += 1.0
            history.begin_batch()
            history.end_batch()
        history.now += QUIET.total_seconds() + 2
        for _ in waits:
            verdict = look(history, waits, seen)
            seen = json.loads(json.dumps(verdict.seen))
        assert verdict.visible, f"{seed}: {verdict.text}"
        for proof in verdict.seen["proved"].values():
            proofs[proof] = proofs.get(proof, 0) + 1
    assert set(proofs) == {WATERMARK, IN_ORDER, READ_BACK, LATER_BATCHES, ALL_QUIET}
