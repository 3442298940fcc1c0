"""``python -m tests.storm``: STORM_RUNS runs (100) from STORM_SEED (0) on, a line each, and a figure at the end.

Meanwhile two loads live with a small budget, in real time.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from .budget import WAYS, live_with_it
from .plan import plan
from .storm import Outcome, sky, weather


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    runs, first = int(os.environ.get("STORM_RUNS", "100")), int(os.environ.get("STORM_SEED", "0"))
    begun = time.monotonic()
    outcomes: list[Outcome] = []
    broken: list[int] = []
    with ThreadPoolExecutor() as pool, sky() as local:
        budgets = [pool.submit(live_with_it, *way) for way in WAYS]
        for seed in range(first, first + runs):
            try:
                outcomes.append(weather(local, plan(seed)))
            except AssertionError as error:
                broken.append(seed)
                say(f"seed {seed}: WRONG: {error} ({'; '.join(error.__notes__)})")
                local.restart()
            else:
                say(outcomes[-1].line())
        say(summary(outcomes, broken, time.monotonic() - begun))
        wrong = [error for error in (budget.exception() for budget in budgets) if error]
        for budget in budgets:
            say(f"  {budget.exception() or budget.result()}")
    return 1 if broken or wrong else 0


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
        f"Vectorize; {sum(one.attempts for one in outcomes)} attempts",
        f"  {twice:,} of {sent:,} bytes were sent twice ({100 * twice / max(1, sent):.1f} %), never more than was in "
        "flight or unanswered",
        "  visible: " + "; ".join(f"{count} x {proof}" for proof, count in proofs.most_common()),
        f"  {seconds:.0f} s",
    ])


if __name__ == "__main__":
    sys.exit(main())
