"""Calculate what loads and syncs of any size cost from Cloudflare's limits, without measurements: ``make scale``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from airflow_provider_vectorize.api.limits import LIMITS, MUTATIONS_FOLDED, VECTORS_FOLDED, Limits
from airflow_provider_vectorize.sync.audit import AUDITED

#: Requests that an account has in a window, and seconds of a window.
QUOTA, WINDOW = 1_200, 300.0
#: Share of these requests that a connection leaves to others by default.
RESERVE = 0.2
MB, HOUR = 1e6, 3_600.0
VECTORS, DIMENSIONS = 20_000_000, 1_536
BANDWIDTHS = (10, 30, 100, 300, 1_000)
#: Sizes of the index in the table of the sync.
SYNCED = (1_000_000, 20_000_000)


@dataclass(frozen=True)
class Cost:
    """What it takes to send a number of vectors.

    :param bytes_per_vector: Bytes of a line.
    :param vectors_per_request: Vectors in a request.
    :param requests: Number of insert or upsert requests.
    :param bytes_sent: Bytes of all request bodies.
    :param jobs: Minimum number of processing jobs that make the vectors visible.
    """

    bytes_per_vector: float
    vectors_per_request: int
    requests: int
    bytes_sent: float
    jobs: int

    def budget_seconds(self, reserve: float = RESERVE) -> float:
        """Return the minimum number of seconds over which the request budget spreads the requests."""
        return budget_seconds(self.requests, reserve)

    def seconds(self, bandwidth: float) -> float:
        """Return the duration at a bandwidth in MB/s, shared by all workers."""
        return max(self.bytes_sent / (bandwidth * MB), self.budget_seconds())

    def turning_point(self) -> float:
        """Return the bandwidth in MB/s above which the request budget is the limit."""
        return self.bytes_sent / self.budget_seconds() / MB


def budget_seconds(requests: int, reserve: float = RESERVE) -> float:
    """Return the number of seconds over which the request budget spreads requests."""
    return requests / (QUOTA * (1 - reserve)) * WINDOW


def cost(vectors: int, bytes_per_vector: float, limits: Limits = LIMITS) -> Cost:
    """Return the cost of a load with requests as large as possible.

    :param bytes_per_vector: Bytes of a line, with its newline.
    """
    vectors_per_request = min(limits.vectors_per_request, int(limits.bytes_per_request // bytes_per_vector))
    requests = math.ceil(vectors / vectors_per_request)
    jobs = max(math.ceil(vectors / VECTORS_FOLDED), math.ceil(requests / MUTATIONS_FOLDED))
    return Cost(bytes_per_vector, vectors_per_request, requests, vectors * bytes_per_vector, jobs)


def line_bytes(dimensions: int, *, float32: bool) -> float:
    """Return the mean bytes of a line with a unit vector, a short id and no metadata."""
    rng = np.random.default_rng(dimensions)
    rows = rng.normal(size=(50, dimensions))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if float32:
        texts = [orjson.dumps(row.astype(np.float32), option=orjson.OPT_SERIALIZE_NUMPY).decode() for row in rows]
    else:
        texts = [json.dumps(row.tolist()) for row in rows]
    return sum(len(f'{{"id":"v{number:08}","values":{text}}}\n') for number, text in enumerate(texts)) / len(texts)


def upserts(vectors: int, limits: Limits = LIMITS) -> int:
    """Return the requests that send vectors: one reads the index, one checks whether the samples are new."""
    return math.ceil(vectors / limits.vectors_per_request) + 2


def deletes(vectors: int, limits: Limits = LIMITS) -> int:
    """Return the requests that delete vectors: one reads samples before."""
    return math.ceil(vectors / limits.ids_per_delete) + 1


def nights(vectors: int, limits: Limits = LIMITS) -> dict[str, int]:
    """Return the requests of each kind of night of a sync with one request at a time.

    Each concurrent request can add one read of the index. Bytes are not counted: a request of vectors with more than
    about 1,000 dimensions holds fewer of them.

    :param vectors: Number of vectors in the index. 1 % of them are at least one vector.
    """
    one_percent = vectors // 100
    start = commit = info = 1
    audit = info + math.ceil(min(AUDITED, vectors) / limits.ids_per_get)
    unchanged = start + audit
    return {
        "first night, or everything changed": start + info + upserts(vectors, limits) + commit,
        "nothing changed": unchanged,
        "1% changed": unchanged + upserts(one_percent, limits) + commit,
        "1% left the source": unchanged + deletes(one_percent, limits) + commit,
        "`reconcile`": start + upserts(vectors, limits) + commit,
        "nothing changed, `report_foreign`": unchanged + math.ceil(vectors / limits.list_page),
    }


def sync_table() -> str:
    """Return the table of the sync in docs/scale.md."""
    columns = [nights(vectors) for vectors in SYNCED]
    rows = [
        (name, *(f"{column[name]:,} · {budget_seconds(column[name]) / 60:,.1f} min" for column in columns))
        for name in columns[0]
    ]
    head = ("night", *(f"{vectors / 1e6:.0f} M vectors" for vectors in SYNCED))
    return _table(head, rows)


def tables() -> list[str]:
    """Return the tables of docs/scale.md: the figures of the load, how long it takes, and the nights of a sync."""
    float64, float32_text = (cost(VECTORS, line_bytes(DIMENSIONS, float32=float32)) for float32 in (False, True))
    both = [
        (
            "bytes per vector",
            f"{float64.bytes_per_vector / 1e3:.1f} KB",
            f"{float32_text.bytes_per_vector / 1e3:.1f} KB",
        ),
        ("vectors per request", f"{float64.vectors_per_request:,}", f"{float32_text.vectors_per_request:,}"),
        ("requests", f"{float64.requests:,}", f"{float32_text.requests:,}"),
        ("total bytes", f"{float64.bytes_sent / 1e9:,.0f} GB", f"{float32_text.bytes_sent / 1e9:,.0f} GB"),
        ("processing jobs, minimum", f"{float64.jobs:,}", f"{float32_text.jobs:,}"),
        *(
            (
                f"minutes of request budget, with {reserve:.0%} left to others",
                f"{float64.budget_seconds(reserve) / 60:.0f}",
                f"{float32_text.budget_seconds(reserve) / 60:.0f}",
            )
            for reserve in (RESERVE, 0.0)
        ),
        (
            "bandwidth above which the budget is the limit, with 20% left to others",
            f"{float64.turning_point():.0f} MB/s",
            f"{float32_text.turning_point():.0f} MB/s",
        ),
    ]
    hours = [
        (f"{bandwidth:,} MB/s", *(_hours(load, bandwidth) for load in (float64, float32_text)))
        for bandwidth in BANDWIDTHS
    ]
    return [
        _table((f"{VECTORS / 1e6:.0f} M vectors of {DIMENSIONS:,} dimensions", "float64 text", "float32 text"), both),
        _table(("bandwidth of all workers", "float64 text", "float32 text"), hours),
        sync_table(),
    ]


def _hours(load: Cost, bandwidth: float) -> str:
    seconds = load.seconds(bandwidth)
    return f"{seconds / HOUR:.1f} h" + (" (limited by the budget)" if bandwidth > load.turning_point() else "")


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---", "--:", "--:"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print("\n\n".join(tables()))
