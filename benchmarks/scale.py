"""What a load of any size costs, on paper: Cloudflare's limits and arithmetic, no measurement."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import orjson

from airflow_provider_vectorize.api.limits import LIMITS, MUTATIONS_FOLDED, VECTORS_FOLDED, Limits

#: Requests of an account in a window of so many seconds.
QUOTA, WINDOW = 1_200, 300.0
#: The share of them that a connection leaves to others, by default.
RESERVE = 0.2
MB, HOUR = 1e6, 3_600.0
VECTORS, DIMENSIONS = 20_000_000, 1_536
BANDWIDTHS = (10, 30, 100, 300, 1_000)


@dataclass(frozen=True)
class Cost:
    """What it takes to send so many vectors.

    :param a_vector: bytes of a line.
    :param a_request: vectors in a request.
    :param requests: inserts or upserts.
    :param sent: bytes of their bodies.
    :param jobs: batches of the job that makes them visible, at the least.
    """

    a_vector: float
    a_request: int
    requests: int
    sent: float
    jobs: int

    def budget_seconds(self, reserve: float = RESERVE) -> float:
        """For which the account's budget spreads the requests, at the least."""
        return self.requests / (QUOTA * (1 - reserve)) * WINDOW

    def seconds(self, bandwidth: float) -> float:
        """At so many MB a second, whoever shares them."""
        return max(self.sent / (bandwidth * MB), self.budget_seconds())

    def turning_point(self) -> float:
        """MB a second from which on the budget binds, and more bandwidth is of no use."""
        return self.sent / self.budget_seconds() / MB


def cost(vectors: int, a_vector: float, limits: Limits = LIMITS) -> Cost:
    """Of a load in the largest requests.

    :param a_vector: bytes of a line, with its newline.
    """
    a_request = min(limits.vectors_per_request, int(limits.bytes_per_request // a_vector))
    requests = math.ceil(vectors / a_request)
    jobs = max(math.ceil(vectors / VECTORS_FOLDED), math.ceil(requests / MUTATIONS_FOLDED))
    return Cost(a_vector, a_request, requests, vectors * a_vector, jobs)


def line_bytes(dimensions: int, *, float32: bool) -> float:
    """Bytes of a line as they come: unit vectors, a short id, no metadata."""
    rng = np.random.default_rng(dimensions)
    rows = rng.normal(size=(50, dimensions))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if float32:
        texts = [orjson.dumps(row.astype(np.float32), option=orjson.OPT_SERIALIZE_NUMPY).decode() for row in rows]
    else:
        texts = [json.dumps(row.tolist()) for row in rows]
    return sum(len(f'{{"id":"v{number:08}","values":{text}}}\n') for number, text in enumerate(texts)) / len(texts)


def tables() -> list[str]:
    """What docs/scale.md shows: the load in numbers, and how long it takes."""
    wide, narrow = (cost(VECTORS, line_bytes(DIMENSIONS, float32=float32)) for float32 in (False, True))
    both = [
        ("bytes a vector", f"{wide.a_vector / 1e3:.1f} KB", f"{narrow.a_vector / 1e3:.1f} KB"),
        ("vectors a request", f"{wide.a_request:,}", f"{narrow.a_request:,}"),
        ("requests", f"{wide.requests:,}", f"{narrow.requests:,}"),
        ("bytes in all", f"{wide.sent / 1e9:,.0f} GB", f"{narrow.sent / 1e9:,.0f} GB"),
        ("processing jobs, at least", f"{wide.jobs:,}", f"{narrow.jobs:,}"),
        *(
            (
                f"minutes of the budget, with {reserve:.0%} left to others",
                f"{wide.budget_seconds(reserve) / 60:.0f}",
                f"{narrow.budget_seconds(reserve) / 60:.0f}",
            )
            for reserve in (RESERVE, 0.0)
        ),
        (
            "the budget binds from, with 20% left to others",
            f"{wide.turning_point():.0f} MB/s",
            f"{narrow.turning_point():.0f} MB/s",
        ),
    ]
    hours = [(f"{each:,} MB/s", *(_hours(one, each) for one in (wide, narrow))) for each in BANDWIDTHS]
    return [
        _table((f"{VECTORS / 1e6:.0f} M vectors of {DIMENSIONS:,} dimensions", "float64 text", "float32 text"), both),
        _table(("bandwidth, all workers together", "float64 text", "float32 text"), hours),
    ]


def _hours(one: Cost, bandwidth: float) -> str:
    seconds = one.seconds(bandwidth)
    return f"{seconds / HOUR:.1f} h" + (" (the budget binds)" if bandwidth > one.turning_point() else "")


def _table(head: tuple[str, ...], rows: list[tuple[str, str, str]]) -> str:
    lines = [head, ("---", "--:", "--:"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print("\n\n".join(tables()))
