"""Ways to break an index or its source, and the gates that must fail: ``python -m tests.checks.faults --seeds 20``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from airflow_provider_vectorize.checks.gates import Gates
from airflow_provider_vectorize.checks.golden import GoldenQuery
from airflow_provider_vectorize.checks.reads import MAX_REQUESTS
from airflow_provider_vectorize.checks.result import CheckResult
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.support import Row

from .support import CheckedIndex, corpus, failed, golden_queries, other_model

ROWS = 1_500
GATES = {
    "count",
    "presence",
    "content",
    "self_retrieval",
    "recall",
    "golden_recall",
    "reciprocal_rank",
    "zero_vectors",
    "duplicates",
}


def by_id(rows: Sequence[Row], ids: set[str]) -> list[Row]:
    return [row for row in rows if row["id"] in ids]


def lose_vectors(books: CheckedIndex, rows: list[Row]) -> None:
    books.load(rows)
    others = [row["id"] for row in rows if row["id"] not in books.neighbor_ids | books.sample_ids]
    books.delete(others[:5])


def lose_sampled_vectors(books: CheckedIndex, rows: list[Row]) -> None:
    """Delete sampled vectors, and write others, so that their number is the same."""
    books.load(rows)
    lost = sorted(books.sample_ids - books.neighbor_ids)[:3]
    books.delete(lost)
    books.upsert([row | {"id": f"other-{row['id']}"} for row in other_model(by_id(rows, set(lost)))])


def write_one_percent_with_another_model(books: CheckedIndex, rows: list[Row]) -> None:
    books.load(rows)
    others = [row for row in rows if row["id"] not in books.neighbor_ids]
    books.upsert(other_model(others[:: len(others) // (ROWS // 100)]))


def swap_queried_vectors(books: CheckedIndex, rows: list[Row]) -> None:
    """Give the queried vectors that are not sampled each other's values, like a file whose IDs are shifted by a row."""
    books.load(rows)
    assert books.collected
    queried = by_id(rows, {query.id for query in books.collected.queries} - books.sample_ids)
    shifted = [
        row | {"values": other["values"]} for row, other in zip(queried, [*queried[1:], queried[0]], strict=True)
    ]
    books.upsert(shifted)


def write_neighbors_with_another_model(books: CheckedIndex, rows: list[Row]) -> None:
    """Overwrite neighbors that are neither sampled nor queried."""
    books.load(rows)
    assert books.collected
    queried = {query.id for query in books.collected.queries}
    books.upsert(other_model(by_id(rows, books.neighbor_ids - queried - books.sample_ids)))


def load_one_percent_of_another_model(books: CheckedIndex, rows: list[Row]) -> None:
    """Load a source of which another model wrote one row in a hundred. Only people know what it should be."""
    books.load([other_model([row], seed=n)[0] if n % 100 == 0 else row for n, row in enumerate(rows)])


def load_shuffled_ids(books: CheckedIndex, rows: list[Row]) -> None:
    """Load a source whose IDs are shifted by a few rows. Only people know what it should be."""
    books.load([row | {"id": other["id"]} for row, other in zip(rows, rows[7:] + rows[:7], strict=True)])


def load_zero_vectors(books: CheckedIndex, rows: list[Row]) -> None:
    books.load([row | {"values": [0.0] * 32} if n in {700, 900} else row for n, row in enumerate(rows)])


def load_duplicates(books: CheckedIndex, rows: list[Row]) -> None:
    books.load([row | {"values": rows[n - 1]["values"]} if n % 20 == 7 else row for n, row in enumerate(rows)])


def keep_last_batch_stale(books: CheckedIndex, rows: list[Row]) -> None:
    """Let every read answer from before the last few vectors, which are neither sampled nor near a query."""
    books.load(rows)
    others = [row for row in rows if row["id"] not in books.neighbor_ids | books.sample_ids][:5]
    books.delete(row["id"] for row in others)
    books.local.process()  # Otherwise, both writes may be in one batch.
    books.upsert(others)
    books.local.flap(books.name, probability=1.0)


def load_nothing_visible(books: CheckedIndex, rows: list[Row]) -> None:
    """Let every read answer from before the load."""
    books.local.hold()
    books.load(rows)


def load_well(books: CheckedIndex, rows: list[Row]) -> None:
    books.load(rows)


class Fault(NamedTuple):
    """A way to break an index.

    :param apply: Loads the rows and breaks the index.
    :param expected: Names of the gates that fail. No other gate does.
    :param gates: The thresholds.
    """

    apply: Callable[[CheckedIndex, list[Row]], None]
    expected: set[str]
    gates: Gates = Gates()

    @property
    def name(self) -> str:
        return f"{self.apply.__name__} {', '.join(sorted(self.expected))}"

    def check(self, books: CheckedIndex, seed: int) -> CheckResult:
        """Load an index, break it, and check it."""
        rows = corpus(ROWS, seed=seed)
        self.apply(books, rows)
        books.local.clear_requests()
        result = books.check(self.gates, self._golden_queries(rows))
        assert len(books.local.requests()) == result.requests <= MAX_REQUESTS
        return result

    def _golden_queries(self, rows: list[Row]) -> list[GoldenQuery]:
        """Return golden queries, except for gates that look at the index, so that only one of them can fail."""
        if self.apply is load_one_percent_of_another_model:
            return golden_queries(rows, 40, expected=10)
        if self.apply in {load_shuffled_ids, load_nothing_visible, load_well}:
            return golden_queries(rows, 20)
        return []


FAULTS = [
    Fault(load_well, set()),
    Fault(lose_vectors, {"count"}),
    Fault(lose_sampled_vectors, {"presence"}),
    Fault(write_one_percent_with_another_model, {"content"}),
    Fault(load_one_percent_of_another_model, {"golden_recall"}, Gates(min_golden_recall=0.9999, min_recall=None)),
    Fault(load_duplicates, {"duplicates"}),
    Fault(load_zero_vectors, {"zero_vectors"}),
    Fault(load_shuffled_ids, {"golden_recall"}, Gates(min_reciprocal_rank=None)),
    Fault(load_shuffled_ids, {"reciprocal_rank"}, Gates(min_golden_recall=None)),
    Fault(load_shuffled_ids, {"golden_recall", "reciprocal_rank"}),
    Fault(swap_queried_vectors, {"self_retrieval"}, Gates(min_recall=0.5)),
    Fault(write_neighbors_with_another_model, {"recall"}),
    Fault(keep_last_batch_stale, {"count"}),
    Fault(load_nothing_visible, GATES - {"content", "zero_vectors", "duplicates"}),
]


def main() -> int:
    """Run each fault with several seeds, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(1, parser.parse_args().seeds + 1)
    wrong = 0
    print(f"{'fault':40} {'expected':>8} {'requests':>8}  failed gates")
    with LocalVectorize.start(extra_args=["--no-sync"]) as local, tempfile.TemporaryDirectory() as folder:
        for fault in FAULTS:
            outcomes: Counter[frozenset[str]] = Counter()
            requests = 0
            for seed in seeds:
                local.reset()
                books = CheckedIndex(local, Path(folder))
                books.create()
                result = fault.check(books, seed)
                outcomes[frozenset(failed(result))] += 1
                requests = max(requests, result.requests)
            wrong += len(seeds) - outcomes[frozenset(fault.expected)]
            texts = (f"{', '.join(sorted(names)) or 'none'} ({count})" for names, count in outcomes.items())
            as_expected = f"{outcomes[frozenset(fault.expected)]}/{len(seeds)}"
            print(f"{fault.apply.__name__:40} {as_expected:>8} {requests:>8}  {'; '.join(texts)}", flush=True)
    print(f"{len(FAULTS)} faults with {len(seeds)} seeds each, other outcomes: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
