"""Collect what happened in one sync storm, and summarize all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .scenario import Scenario


@dataclass
class Outcome:
    """What happened in one run.

    :param rows: Number of rows in the source, summed over the attempts.
    :param kills: Number of kills by kind of event.
    :param ends: Number of attempts by how they ended.
    :param faults: Number of faults by kind.
    :param written: Number of vectors that requests wrote.
    :param compared: Number of vectors that were compared with the source.
    """

    scenario: Scenario
    rows: int = 0
    nights: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    written: int = 0
    compared: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        """Return the outcome as one line."""
        scenario = self.scenario
        return (
            f"seed {scenario.seed}: {self.nights} nights of {scenario.suffix or '.ndjson'} in {scenario.stored}, "
            f"{scenario.in_flight} in flight; attempts {_counts(self.ends)}; {self.faults.total()} faults; "
            f"{self.rows} rows, {self.written} vectors written, {self.compared} compared; "
            f"killed {_counts(self.kills)}; {self.seconds:.1f} s"
        )


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counter.items())) or "never"


def summary(outcomes: list[Outcome], failed_seeds: list[int], seconds: float) -> str:
    """Return the outcomes of all runs as a few lines.

    :param failed_seeds: Seeds of runs in which a guarantee was broken.
    :param seconds: Duration of all runs.
    """
    kills = sum((outcome.kills for outcome in outcomes), Counter[str]())
    ends = sum((outcome.ends for outcome in outcomes), Counter[str]())
    faults = sum((outcome.faults for outcome in outcomes), Counter[str]())
    return "\n".join([
        "",
        f"{len(outcomes) + len(failed_seeds)} runs, {sum(outcome.nights for outcome in outcomes)} nights, "
        f"wrong = {len(failed_seeds)}"
        + (f": seeds {', '.join(map(str, sorted(failed_seeds)))}" if failed_seeds else ""),
        f"  {ends.total()} attempts: {_counts(ends)}",
        f"  {kills.total()} kills at {len(kills)} kinds of events: {_counts(kills)}",
        f"  {faults.total():,} faults of {len(faults)} kinds",
        f"  {sum(outcome.rows for outcome in outcomes):,} rows, "
        f"{sum(outcome.written for outcome in outcomes):,} vectors written, "
        f"{sum(outcome.compared for outcome in outcomes):,} compared with the source",
        f"  {seconds:.0f} s",
    ])
