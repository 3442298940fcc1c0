"""How much faster two workers are than one, where each connection carries 30 MB a second: ``make bench-workers``.

The plan shares one large file out among so many workers as there are in a case; each is a process that runs the
operator's ``execute`` on its shard, with the same settings. Cases are run in turn. The clock runs from when all workers
have imported what they need until the last one is done.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import corpus
from contestants import ours
from run import DATA, counts, sink

WORKERS = (1, 2)
RATE = 30.0
#: Requests that each worker has under way: as many as two cores can feed through two workers.
SETTINGS = {"max_in_flight": 2}


def work(source: list[str], port: int) -> None:
    """A worker: says that it is ready, waits for a line, loads, and says that it is done."""
    load = ours(source, port, **SETTINGS)  # type: ignore[arg-type]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    load()


def shards(file: Path, workers: int, port: int) -> list[list[str]]:
    """What the plan gives to each worker."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook  # noqa: PLC0415

    ours("", port)  # sets the connection up
    return [one["source"] for one in VectorizeHook().plan("bench", str(file), shards=workers).kwargs()]


def once(file: Path, workers: int) -> tuple[float, dict[str, int]]:
    """Seconds, and what the sink counted."""
    with sink(768, rate=RATE) as port, ExitStack() as stack:
        running = []
        for source in shards(file, workers, port):
            command = [sys.executable, __file__, "--worker", json.dumps({"source": source, "port": port})]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
            running.append(stack.enter_context(process))
        for process in running:
            if not process.stdout or process.stdout.readline() != "ready\n":
                raise SystemExit("a worker did not start")
        begun = time.perf_counter()
        for process in running:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        codes = [process.wait(timeout=600) for process in running]
        if any(codes):
            raise SystemExit("a worker failed")
        return time.perf_counter() - begun, counts(port)


def measure(megabytes: int, runs: int) -> None:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="bench-airflow-")
    file = corpus.ndjson(DATA, 768, megabytes)
    size = file.stat().st_size
    found: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    requests: dict[int, int] = {}
    for _ in range(runs):
        for workers in WORKERS:
            seconds, counted = once(file, workers)
            found[workers].append(seconds)
            requests[workers] = counted["requests"]
    first = statistics.median(found[WORKERS[0]])
    say(f"{size / 1e9:.1f} GB, {RATE:g} MB/s a connection, {SETTINGS}, medians of {runs}")
    for workers, times in found.items():
        median = statistics.median(times)
        say(
            f"  {workers} worker{'s' if workers > 1 else ' '} {median:6.1f} s ({min(times):.1f} to {max(times):.1f})  "
            f"{size / 1e6 / median:5.0f} MB/s of source  {requests[workers]} requests  {first / median:.2f} x the first"
        )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", type=json.loads, help="what it loads, and where to; only this program uses it")
    parser.add_argument("--megabytes", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    task: dict[str, Any] | None = args.worker
    if task:
        work(**task)
    else:
        measure(args.megabytes, args.runs)


if __name__ == "__main__":
    main()
