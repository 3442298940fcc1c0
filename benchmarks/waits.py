"""What waiting costs: many deferred sensors on one index, in one event loop, as in a triggerer.

python benchmarks/waits.py [--interval 1.0] [--held 10]

Each line is a run against a local Vectorize with Cloudflare's budget of requests. So many loads were acknowledged,
0.75 s apart (a load makes three requests, and the budget is four a second); each has a trigger. Nothing is processed
for ten intervals. Then jobs take whatever is pending, at once. The watermark of the first job is either the last load's
or a mutation of another writer; in both cases a marker proves the rest, which the next job makes visible.
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
#: Seconds of the server's clock between two loads.
SPACING = 0.75
HEAD = (
    "| sensors | watermark | intervals held | `info` | markers | longest block | last release after |\n"
    "|--:|---|--:|--:|--:|--:|--:|"
)
#: Cloudflare's.
BUDGET = "1200/300"


@dataclass
class Probe:
    """A task that wants to run every 5 ms, and notes by how much it was kept waiting at the most."""

    longest: float = 0.0

    async def run(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.perf_counter() - before - 0.005)


def main() -> int:
    """Run all cases, and print a line for each."""
    parser = argparse.ArgumentParser(description="What waiting costs, by the number of sensors.")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two looks")
    parser.add_argument("--held", type=int, default=10, help="intervals for which nothing is processed")
    parser.add_argument("--sensors", type=int, nargs="+", default=[1, 100, 1_000])
    options = parser.parse_args()
    table = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the triggers' lines, which a triggerer writes to their files
    print(HEAD, file=table, flush=True)
    for known in (True, False):
        for sensors in options.sensors:
            with vectorize() as local:
                line = run(local, sensors, known=known, interval=options.interval, held=options.held)
                print(line, file=table, flush=True)
    return 0


@contextmanager
def vectorize() -> Iterator[LocalVectorize]:
    """A local Vectorize, known to Airflow as the default connection."""
    with LocalVectorize.start(budget="1000000/300") as local:
        os.environ["AIRFLOW_CONN_VECTORIZE_DEFAULT"] = json.dumps(local.connection)
        yield local


def run(local: LocalVectorize, sensors: int, *, known: bool, interval: float, held: int) -> str:
    """One case, as a line of the table."""
    local.hold()
    waits = load(local, sensors)
    if not known:
        local.foreign_mutation(INDEX)
    local.set_budget(BUDGET)
    local.clear_requests()
    longest, begun, visible_at, released_at = asyncio.run(_wait(local, waits, interval, held))
    whose = "the last load's" if known else "somebody else's"
    return (
        f"| {sensors:,} | {whose} | {(visible_at - begun) / interval:.1f} "
        f"| {len(local.requests('info'))} | {len(local.requests('delete_by_ids')):,} | {longest * 1000:.0f} ms "
        f"| {(released_at - visible_at) / interval:.1f} intervals |"
    )


def load(local: LocalVectorize, count: int) -> list[dict[str, Any]]:
    """So many loads of one vector each, as their sensors wait for them."""
    credentials = Credentials(local.account_id, local.token, base_url=local.base_url)
    found, rng = [], random.Random(7)
    with VectorizeClient(credentials, reserve=0) as client:
        client.create_index(INDEX, dimensions=DIMENSIONS, metric="cosine")
        for number in range(count):
            local.shift_clock(number * SPACING)
            values = [rng.random() for _ in range(DIMENSIONS)]
            body = json.dumps({"id": f"v{number}", "values": values}).encode()
            found += [wait.to_dict() for wait in waits_for(client.upsert(INDEX, body), None)]
    return found


async def _wait(
    local: LocalVectorize, waits: list[dict[str, Any]], interval: float, held: int
) -> tuple[float, float, float, float]:
    """The longest block of the loop; and when the wait began, all became visible, and the last was released."""
    from airflow_provider_vectorize.hooks import connection  # noqa: F401 - needs Airflow's home
    from airflow_provider_vectorize.triggers.mutation import VectorizeMutationTrigger

    gc.collect()
    gc.freeze()  # a pass over all that Airflow has imported takes 0.1 s by itself, and comes whenever it does
    probe = Probe()
    probing = asyncio.create_task(probe.run())
    begun = time.time()
    tasks = [
        asyncio.create_task(_event(VectorizeMutationTrigger([wait], "vectorize_default", interval))) for wait in waits
    ]
    await asyncio.sleep(held * interval)
    await asyncio.to_thread(local.release)
    visible_at = time.time()
    events = await asyncio.gather(*tasks)
    released_at = time.time()
    probing.cancel()
    assert {event["status"] for event in events} == {"visible"}, events
    return probe.longest, begun, visible_at, released_at


async def _event(trigger: Any) -> Any:
    return (await anext(aiter(trigger.run()))).payload


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bench-waits-") as home:
        os.environ |= {"AIRFLOW_HOME": home, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        sys.exit(main())
