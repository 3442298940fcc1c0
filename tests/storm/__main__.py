"""Run ``python -m tests.storm``: STORM_RUNS scenarios (default: 100) from seed STORM_SEED (default: 0) on.

It prints one line for each run and a summary. Meanwhile, other loads run with a small budget in real time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from .budget import WORKER_GROUPS, run_workers
from .outcome import Outcome, summary
from .scenario import make_scenario
from .storm import run_scenario, start_local_vectorize


def print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    runs, first = int(os.environ.get("STORM_RUNS", "100")), int(os.environ.get("STORM_SEED", "0"))
    started_at = time.monotonic()
    outcomes: list[Outcome] = []
    failed_seeds: list[int] = []
    with ThreadPoolExecutor() as pool, start_local_vectorize() as local:
        budgets = [pool.submit(run_workers, *group) for group in WORKER_GROUPS]
        for seed in range(first, first + runs):
            try:
                outcomes.append(run_scenario(local, make_scenario(seed)))
            except AssertionError as error:
                failed_seeds.append(seed)
                print_line(f"seed {seed}: WRONG: {error} ({'; '.join(error.__notes__)})")
                local.restart()
            else:
                print_line(outcomes[-1].line())
        print_line(summary(outcomes, failed_seeds, time.monotonic() - started_at))
        budget_errors = [error for error in (budget.exception() for budget in budgets) if error]
        for budget in budgets:
            print_line(f"  {budget.exception() or budget.result()}")
    return 1 if failed_seeds or budget_errors else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="storm-airflow-") as home:
        # Airflow's storage opens the parts, and writes its settings into AIRFLOW_HOME.
        os.environ.setdefault("AIRFLOW_HOME", home)
        sys.exit(main())
