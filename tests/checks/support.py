"""Helpers of the tests of checks: an index that is loaded with a collector, broken on purpose, and checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.pacing import Clock
from airflow_provider_vectorize.checks.expectation import Expectation, expect
from airflow_provider_vectorize.checks.gates import Gates
from airflow_provider_vectorize.checks.golden import GoldenQuery
from airflow_provider_vectorize.checks.result import CheckResult
from airflow_provider_vectorize.checks.run import IndexCheck
from airflow_provider_vectorize.load.collection import Collection
from airflow_provider_vectorize.load.collector import Collector
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.support import DIMENSIONS, FileObject, Row, client_of, ndjson, write_object
from tests.sync.support import JumpingClock


def corpus(count: int, *, seed: int = 0, first: int = 0) -> list[Row]:
    """Return rows whose values are in clusters, as those of texts are. Their order is random."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((max(1, count // 20), DIMENSIONS))
    values = centers[rng.integers(len(centers), size=count)] + 0.3 * rng.standard_normal((count, DIMENSIONS))
    return [{"id": f"v{first + n}", "values": row} for n, row in enumerate(values.astype(np.float32).tolist())]


def other_model(rows: Iterable[Row], seed: int = 99) -> list[Row]:
    """Return the rows with the values of another embedding model."""
    rng = np.random.default_rng(seed)
    return [row | {"values": rng.standard_normal(DIMENSIONS).astype(np.float32).tolist()} for row in rows]


def exact_neighbors(values: Sequence[float], rows: Sequence[Row], count: int) -> list[str]:
    """Return the IDs of the nearest rows by cosine. It shares no code with the load."""
    return _exact_neighbors(np.array(values), np.array([row["values"] for row in rows]), rows, count)


def _exact_neighbors(query: Any, matrix: Any, rows: Sequence[Row], count: int) -> list[str]:
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(query)
    scores = np.divide(matrix @ query, lengths, out=np.zeros(len(rows)), where=lengths > 0)
    return [rows[n]["id"] for n in np.argsort(-scores, kind="stable")[:count]]


def golden_queries(rows: Sequence[Row], count: int, *, expected: int = 5, seed: int = 7) -> list[GoldenQuery]:
    """Return queries that are near rows, and expect the exact neighbors."""
    rng = np.random.default_rng(seed)
    matrix = np.array([row["values"] for row in rows])
    queries = []
    for number in range(count):
        near = matrix[int(rng.integers(len(rows)))]
        values = (near + 0.05 * rng.standard_normal(DIMENSIONS)).astype(np.float32)
        ids = tuple(_exact_neighbors(values, matrix, rows, expected))
        queries.append(GoldenQuery(number + 1, ids, 10, tuple(values.tolist())))
    return queries


class CheckedIndex:
    """An index, and helpers that load, break and check it.

    :param local: The local Vectorize.
    :param folder: Folder for sources.
    """

    name = "books"

    def __init__(self, local: LocalVectorize, folder: Path) -> None:
        self.local = local
        self.folder = folder
        self.receipt = Receipt("upsert", self.name)
        self.collected: Collection | None = None
        self._names = itertools.count()

    def create(self, metric: Any = "cosine") -> None:
        with client_of(self.local) as client:
            client.create_index(self.name, dimensions=DIMENSIONS, metric=metric)
        self.local.set_budget("100000/300")

    def client(self) -> VectorizeClient:
        """Return a client whose pauses take no time."""
        clock = JumpingClock()
        return client_of(self.local, clock=Clock(clock.now, clock.wait))

    def load(self, rows: Sequence[Row], operation: Any = "upsert", *, per_request: int = 5_000) -> Receipt:
        """Load rows with a collector."""
        source = FileObject(write_object(self.folder / f"{next(self._names)}.ndjson", ndjson(rows)))
        collector = Collector()
        limits = Limits(vectors_per_request=per_request, late_seconds=0)
        with client_of(self.local) as client:
            index = client.get_index(self.name)
            options = LoadOptions(collector=collector, limits=limits)
            self.receipt = run(client, operation, index, [source], options)
        self.collected = collector.finish(self.name, operation, self.receipt.created_on)
        return self.receipt

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows as another client does."""
        with client_of(self.local) as client:
            client.upsert(self.name, ndjson(rows))

    def delete(self, ids: Iterable[str]) -> None:
        with client_of(self.local) as client:
            client.delete_by_ids(self.name, ids)

    def expectation(self) -> Expectation:
        return expect(self.name, [self.receipt], [self.collected] if self.collected else [], None)

    def check(
        self,
        gates: Gates | None = None,
        golden: Sequence[GoldenQuery] = (),
        expectation: Expectation | None = None,
    ) -> CheckResult:
        with self.client() as client:
            index = client.get_index(self.name)
            return IndexCheck(client, self.name, expectation or self.expectation(), golden, gates or Gates()).run(index)

    @property
    def neighbor_ids(self) -> set[str]:
        """Return the IDs of all exact neighbors."""
        assert self.collected
        return {found.id for query in self.collected.queries for found in query.neighbors}

    @property
    def sample_ids(self) -> set[str]:
        """Return the IDs of the sampled vectors."""
        assert self.collected
        return set(self.collected.samples)


def failed(result: CheckResult) -> set[str]:
    """Return the names of the gates that failed."""
    return {gate.name for gate in result.failed}


def status(result: CheckResult) -> dict[str, str]:
    """Return the status of each gate."""
    return {gate.name: gate.status for gate in result.gates}
