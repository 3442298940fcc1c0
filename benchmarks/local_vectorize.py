"""Measure the speed of the local Vectorize over HTTP: ``make bench-local``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import orjson

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.local.handle import LocalVectorize

VECTORS, DIMENSIONS, BATCH = 100_000, 768, 5_000


def measure(label: str, runs: int, action: Callable[[int], object]) -> None:
    seconds = []
    for number in range(runs):
        started = time.perf_counter()
        action(number)
        seconds.append(time.perf_counter() - started)
    print(  # noqa: T201
        f"{label:56} {statistics.median(seconds) * 1e3:8.1f} ms (min {min(seconds) * 1e3:.1f}, "
        f"max {max(seconds) * 1e3:.1f}; {runs} runs)"
    )


def main() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(VECTORS, DIMENSIONS)).astype(np.float32)
    with LocalVectorize.start() as local:
        client = VectorizeClient(Credentials(local.account_id, local.token, base_url=local.base_url))
        client.create_index("bench", dimensions=DIMENSIONS, metric="cosine")
        local.hold()

        def body(number: int) -> bytes:
            rows = enumerate(values[number * BATCH : (number + 1) * BATCH], number * BATCH)
            option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
            return b"".join(orjson.dumps({"id": f"v{n}", "values": row}, option=option) for n, row in rows)

        bodies = [body(number) for number in range(VECTORS // BATCH)]
        measure(
            f"upsert of {BATCH:,} x {DIMENSIONS}, acknowledged",
            len(bodies),
            lambda number: client.upsert("bench", bodies[number]),
        )
        local.release()
        measure(f"folding {VECTORS:,}", 1, lambda _: local.process("bench"))
        queries = rng.normal(size=(21, DIMENSIONS)).tolist()
        measure(
            "first query, which loads the index into memory", 1, lambda _: client.query("bench", vector=queries[20])
        )
        measure(
            f"query over {VECTORS:,} x {DIMENSIONS}, exact, topK 10",
            20,
            lambda number: client.query("bench", vector=queries[number], top_k=10),
        )
        measure(
            "query with values and metadata, topK 50",
            20,
            lambda number: client.query(
                "bench", vector=queries[number], top_k=50, return_values=True, return_metadata="all"
            ),
        )
        exact = values @ np.array(queries[0], np.float32) / np.linalg.norm(values, axis=1)
        ranking = [match.id for match in client.query("bench", vector=queries[0], top_k=10).matches]
        assert ranking == [f"v{n}" for n in np.argsort(-exact)[:10]], "The ranking is not exact."


if __name__ == "__main__":
    main()
