"""``python -m tests.storm``: STORM_RUNS runs (100) from STORM_SEED (0) on, a line each, and a figure at the end.

Meanwhile loads live with a small budget, in real time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from .budget import WAYS, live_with_it
from .outcome import Outcome, summary
from .plan import plan
from .storm import sky, weather


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    # Parts are opened by Airflow's storage, which writes its settings into its home.
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="storm-airflow-"))
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


if __name__ == "__main__":
    sys.exit(main())
