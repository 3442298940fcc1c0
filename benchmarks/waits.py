"""Measure what many deferred sensors on one index cost, in one event loop as in a triggerer: ``make bench-waits``.

    python -m benchmarks.waits [--interval 1.0] [--held 10]

Each line is a run against a local Vectorize with Cloudflare's request budget. One load per sensor was acknowledged,
0.75 s apart (a load makes three requests, and the budget allows four per second). Each load has a trigger. Nothing is
processed for ten intervals. Then processing jobs apply all pending mutations at once. The watermark of the first job is
either the mutation of the last load or that of another writer. In both cases a marker proves the other mutations, and
the next job makes the marker visible.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.visibility.waits import waits_for

INDEX, DIMENSIONS = "books", 32
#: Seconds between two loads on the clock of the server.
SPACING = 0.75
TABLE_HEADER = (
    "| sensors | watermark | intervals held | `info` | markers | longest block | last release after |\n"
    "|--:|---|--:|--:|--:|--:|--:|"
)
#: Cloudflare's request budget: requests and seconds.
BUDGET = "1200/300"


@dataclass
class BlockProbe:
    """A task that runs every 5 ms and records its longest delay, which is how long the event loop was blocked."""

    longest: float = 0.0

    async def run(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.perf_counter() - before - 0.005)


def main() -> int:
    """Run all cases, print a line for each, and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure what waiting costs by the number of sensors.")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two checks")
    parser.add_argument("--held", type=int, default=10, help="number of intervals in which nothing is processed")
    parser.add_argument("--sensors", type=int, nargs="+", default=[1, 100, 1_000])
    options = parser.parse_args()
    output = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Discard the log lines of the triggers.
    print(TABLE_HEADER, file=output, flush=True)
    for single_writer in (True, False):
        for sensors in options.sensors:
            with vectorize() as local:
                line = run_case(
                    local, sensors, single_writer=single_writer, interval=options.interval, held=options.held
                )
                print(line, file=output, flush=True)
    return 0


@contextmanager
def vectorize() -> Iterator[LocalVectorize]:
    """Run a local Vectorize, and make it Airflow's default connection."""
    with LocalVectorize.start(budget="1000000/300") as local:
        os.environ["AIRFLOW_CONN_VECTORIZE_DEFAULT"] = json.dumps(local.connection)
        yield local


def run_case(local: LocalVectorize, sensors: int, *, single_writer: bool, interval: float, held: int) -> str:
    """Run one case, and return its line of the table.

    :param single_writer: Whether the watermark of the first job is the last load's mutation, not another writer's.
    :param interval: Seconds between two checks.
    :param held: Number of intervals in which nothing is processed.
    """
    local.hold()
    waits = load_for_sensors(local, sensors)
    if not single_writer:
        local.foreign_mutation(INDEX)
    local.set_budget(BUDGET)
    local.clear_requests()
    longest, started, visible_at, released_at = asyncio.run(_wait(local, waits, interval, held))
    watermark = "the last load's" if single_writer else "another writer's"
    return (
        f"| {sensors:,} | {watermark} | {(visible_at - started) / interval:.1f} "
        f"| {len(local.requests('info'))} | {len(local.requests('delete_by_ids')):,} | {longest * 1000:.0f} ms "
        f"| {(released_at - visible_at) / interval:.1f} intervals |"
    )


def load_for_sensors(local: LocalVectorize, count: int) -> list[dict[str, Any]]:
    """Load one vector per sensor, and return the waits of the sensors."""
    credentials = Credentials(local.account_id, local.token, base_url=local.base_url)
    waits, rng = [], random.Random(7)
    with VectorizeClient(credentials, reserve=0) as client:
        client.create_index(INDEX, dimensions=DIMENSIONS, metric="cosine")
        for number in range(count):
            local.shift_clock(number * SPACING)
            values = [rng.random() for _ in range(DIMENSIONS)]
            body = json.dumps({"id": f"v{number}", "values": values}).encode()
            waits += [wait.to_dict() for wait in waits_for(client.upsert(INDEX, body), None)]
    return waits


async def _wait(
    local: LocalVectorize, waits: list[dict[str, Any]], interval: float, held: int
) -> tuple[float, float, float, float]:
    """Run the triggers until all of them are released.

    :return: The longest time for which the event loop was blocked, and when the wait started, when the mutations were
        released for processing, and when the last trigger was released.
    """
    from airflow_provider_vectorize.hooks import connection  # noqa: F401 - imports Airflow, which needs its home
    from airflow_provider_vectorize.triggers import mutation

    mutation.HANDOVER_SECONDS = 0.0  # What is measured is how late a trigger notices, not when it may end.
    gc.collect()
    gc.freeze()  # A collection of all that Airflow has imported takes 0.1 s and would be measured.
    probe = BlockProbe()
    probing = asyncio.create_task(probe.run())
    started = time.time()
    tasks = [
        asyncio.create_task(_event(mutation.VectorizeMutationTrigger([wait], "vectorize_default", interval)))
        for wait in waits
    ]
    await asyncio.sleep(held * interval)
    await asyncio.to_thread(local.release)
    visible_at = time.time()
    events = await asyncio.gather(*tasks)
    released_at = time.time()
    probing.cancel()
    assert {event["status"] for event in events} == {"visible"}, events
    return probe.longest, started, visible_at, released_at


async def _event(trigger: Any) -> Any:
    return (await anext(aiter(trigger.run()))).payload


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bench-waits-") as home:
        os.environ |= {"AIRFLOW_HOME": home, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        sys.exit(main())
