"""Run ``python -m tests.sync_storm``: STORM_RUNS syncs (default: 100) from seed STORM_SEED (default: 0) on.

It prints one line for each run and a summary. Some runs go on at the same time, because each of them mostly waits.
STORM_WITHOUT names a rule of :mod:`tests.sync.switches` that is switched off, to show that the storm notices.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from tests.storage.object_store import ObjectStore, serve
from tests.storm.__main__ import print_line

from .outcome import Outcome, summary
from .scenario import make_scenario
from .storm import run_scenario, start_local_vectorize

#: Number of runs at the same time.
WORKERS = 4


def run_seeds(seeds: range, store: ObjectStore) -> tuple[list[Outcome], list[int]]:
    """Run the scenarios of some seeds. Return the outcomes, and the seeds in which the promise was broken."""
    outcomes: list[Outcome] = []
    failed_seeds: list[int] = []
    with start_local_vectorize() as local:
        for seed in seeds:
            try:
                outcomes.append(run_scenario(local, make_scenario(seed), store))
            except AssertionError as error:
                failed_seeds.append(seed)
                print_line(f"seed {seed}: WRONG: {error} ({'; '.join(error.__notes__)})")
            else:
                print_line(outcomes[-1].line())
    return outcomes, failed_seeds


def main() -> int:
    runs, first = int(os.environ.get("STORM_RUNS", "100")), int(os.environ.get("STORM_SEED", "0"))
    started_at = time.monotonic()
    with serve() as store, ThreadPoolExecutor(WORKERS) as pool:
        store.reset()
        seeds = [range(first + worker, first + runs, WORKERS) for worker in range(WORKERS)]
        results = list(pool.map(lambda share: run_seeds(share, store), seeds))
    outcomes = [outcome for share, _ in results for outcome in share]
    failed_seeds = [seed for _, share in results for seed in share]
    print_line(summary(outcomes, failed_seeds, time.monotonic() - started_at))
    return 1 if failed_seeds else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="storm-airflow-") as home:
        os.environ.setdefault("AIRFLOW_HOME", home)
        sys.exit(main())
