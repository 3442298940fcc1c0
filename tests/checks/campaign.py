"""Check good indexes whose replicas lag, and count false alarms: ``python -m tests.checks.campaign --runs 200``."""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_vectorize.local.handle import LocalVectorize

from .support import CheckedIndex, corpus, failed, golden_queries

#: Shares of the reads that a replica answers from before the last batch. A quarter was seen right after a load.
STALE_SHARES = (0.06, 0.15, 0.25, 0.33)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check.

    :param failed: Names of the gates that failed.
    :param requests: Number of requests.
    :param stale_share: Share of the reads that were stale.
    """

    failed: tuple[str, ...]
    requests: int
    stale_share: float


def run_once(local: LocalVectorize, folder: Path, seed: int) -> Outcome:
    """Load an index, let its replicas flap, and check it."""
    rng = random.Random(seed)
    local.reset()
    index = CheckedIndex(local, folder)
    metric = rng.choice(["cosine", "cosine", "euclidean", "dot-product"])
    index.create(metric)
    rows = corpus(rng.choice([200, 700]), seed=seed)
    if rng.random() < 0.5:  # The replicas know nothing of the load. Otherwise they know about half of it.
        local.hold()
        index.load(rows)
        local.process()
        local.release()
    else:
        index.load(rows, per_request=len(rows) // 2)
    stale_share = rng.choice(STALE_SHARES)
    local.flap(index.name, probability=stale_share, seed=seed)
    local.clear_requests()
    with_golden = metric == "cosine" and rng.random() < 0.7  # The expected neighbors are those by cosine.
    result = index.check(golden=golden_queries(rows, 15, seed=seed) if with_golden else ())
    assert len(local.requests()) == result.requests
    return Outcome(tuple(sorted(failed(result))), result.requests, stale_share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    alarms: Counter[str] = Counter()
    requests = []
    with LocalVectorize.start(extra_args=["--no-sync"]) as local, tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seed, arguments.seed + arguments.runs):
            outcome = run_once(local, Path(folder), seed)
            requests.append(outcome.requests)
            alarms.update(outcome.failed)
            if outcome.failed:
                print(f"seed {seed}: {', '.join(outcome.failed)} ({outcome.stale_share:.0%} of the reads were stale)")
    requests.sort()
    print(
        f"{arguments.runs} runs, false alarms: {alarms.total()}, requests: median {requests[len(requests) // 2]}, "
        f"maximum {requests[-1]}"
    )


if __name__ == "__main__":
    main()
