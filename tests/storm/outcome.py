"""What happened in a run of the storm, and in all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .plan import Plan


@dataclass
class Outcome:
    """What happened in a run."""

    plan: Plan
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
    most_twice: int | None = None
    looks: int = 0
    proof: str = ""
    seconds: float = 0.0

    def line(self) -> str:
        made = self.plan
        faults = " ".join(f"{fault}:{hits}" for fault, hits in sorted(self.faults.items())) or "none"
        return (
            f"seed {made.seed}: {made.operation} of {self.rows} rows{made.suffix} in {len(made.texts)} objects, "
            f"{len(made.bad)} bad, {made.in_flight} in flight; faults {faults}; {self.kills} kills, "
            f"{self.crashes} crashes, {self.clears} clears, {self.rewrites} rewrites, {self.moves} moved parts, "
            f"{self.attempts} attempts; "
            f"{self.bytes_twice:,} of {self.bytes_sent:,} bytes sent twice; visible after {self.looks} looks "
            f"({self.proof}); {self.seconds:.1f} s"
        )


def summary(outcomes: list[Outcome], broken: list[int], seconds: float) -> str:
    faults = sum((one.faults for one in outcomes), Counter[str]())
    sent, twice = sum(one.bytes_sent for one in outcomes), sum(one.bytes_twice for one in outcomes)
    proofs = Counter(one.proof for one in outcomes)
    return "\n".join([
        "",
        f"{len(outcomes) + len(broken)} runs, {len(outcomes)} ended with nothing lost and nothing wrong"
        + (f"; WRONG: seeds {', '.join(map(str, broken))}" if broken else ""),
        f"  {sum(one.rows for one in outcomes):,} rows; {faults.total():,} faults of {len(faults)} kinds; "
        f"{sum(one.kills for one in outcomes)} kills of the load, {sum(one.crashes for one in outcomes)} crashes of "
        f"Vectorize; {sum(one.clears for one in outcomes)} clears, {sum(one.rewrites for one in outcomes)} sources "
        f"written anew, {sum(one.moves for one in outcomes)} times parts that moved; "
        f"{sum(one.attempts for one in outcomes)} attempts",
        f"  {twice:,} of {sent:,} bytes were sent twice ({100 * twice / max(1, sent):.1f} %); in the "
        f"{sum(one.most_twice is not None for one in outcomes)} runs without a crash, of which all is on record, never "
        "more than was in flight or unanswered",
        "  visible: " + "; ".join(f"{count} x {proof}" for proof, count in proofs.most_common()),
        f"  {seconds:.0f} s",
    ])
