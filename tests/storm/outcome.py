"""Collect what happened in one storm run, and summarize all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .scenario import Scenario


@dataclass
class Outcome:
    """What happened in one run.

    :param bytes_twice: Bytes of writes that were carried out more than once.
    :param max_bytes_twice: The maximum that is allowed, or ``None`` if not every write is on record.
    :param checks: Number of checks until the mutations were visible.
    """

    scenario: Scenario
    rows: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    crashes: int = 0
    attempts: int = 0
    clears: int = 0
    rewrites: int = 0
    moves: int = 0
    bytes_sent: int = 0
    bytes_twice: int = 0
    max_bytes_twice: int | None = None
    checks: int = 0
    proof: str = ""
    seconds: float = 0.0

    def line(self) -> str:
        """Return the outcome as one line."""
        scenario = self.scenario
        faults = " ".join(f"{fault}:{hits}" for fault, hits in sorted(self.faults.items())) or "none"
        return (
            f"seed {scenario.seed}: {scenario.operation} of {self.rows} rows{scenario.suffix} in "
            f"{len(scenario.texts)} objects, {len(scenario.bad)} bad, {scenario.in_flight} in flight; faults {faults}; "
            f"{self.kills} kills, {self.crashes} crashes, {self.clears} clears, {self.rewrites} rewrites, "
            f"{self.moves} moved parts, {self.attempts} attempts; "
            f"{self.bytes_twice:,} of {self.bytes_sent:,} bytes sent twice; visible after {self.checks} checks "
            f"({self.proof}); {self.seconds:.1f} s"
        )


def summary(outcomes: list[Outcome], failed_seeds: list[int], seconds: float) -> str:
    """Return the outcomes of all runs as a few lines.

    :param failed_seeds: Seeds of runs in which a guarantee was broken.
    :param seconds: Duration of all runs.
    """
    faults = sum((outcome.faults for outcome in outcomes), Counter[str]())
    sent, twice = sum(outcome.bytes_sent for outcome in outcomes), sum(outcome.bytes_twice for outcome in outcomes)
    # The text before the proof differs in each run, because it names the index.
    proofs = Counter(outcome.proof.rpartition("Proof: ")[2] for outcome in outcomes)
    return "\n".join([
        "",
        f"{len(outcomes) + len(failed_seeds)} runs, {len(outcomes)} without a lost or wrong vector"
        + (f"; WRONG: seeds {', '.join(map(str, failed_seeds))}" if failed_seeds else ""),
        f"  {sum(outcome.rows for outcome in outcomes):,} rows; {faults.total():,} faults of {len(faults)} kinds; "
        f"{sum(outcome.kills for outcome in outcomes)} kills of the load, "
        f"{sum(outcome.crashes for outcome in outcomes)} crashes of Vectorize; "
        f"{sum(outcome.clears for outcome in outcomes)} clears, "
        f"{sum(outcome.rewrites for outcome in outcomes)} rewritten sources, "
        f"{sum(outcome.moves for outcome in outcomes)} moved parts; "
        f"{sum(outcome.attempts for outcome in outcomes)} attempts",
        f"  {twice:,} of {sent:,} bytes were sent twice ({100 * twice / max(1, sent):.1f} %); in the "
        f"{sum(outcome.max_bytes_twice is not None for outcome in outcomes)} runs whose writes are all on record, "
        "never more than was in flight or unanswered",
        "  visible: " + "; ".join(f"{count} x {proof}" for proof, count in proofs.most_common()),
        f"  {seconds:.0f} s",
    ])
