"""Measure how much faster two workers are than one, at 30 MB/s per connection: ``make bench-workers``.

A plan splits one large file among the workers of a case. Each worker is a process that runs the operator's ``execute``
on its shard, with the same settings. The cases take turns. The measured time starts when all workers have imported
their modules, and ends when the last worker finishes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import corpus
from measure import DATA, run_sink, sink_counts
from provider_ways import airflow_home, ours

WORKERS = (1, 2)
RATE = 30.0
#: Concurrent requests of each worker: as many as two workers can feed on two cores.
SETTINGS = {"max_in_flight": 2}


def work(source: list[str], port: int) -> None:
    """Run a worker: print ``ready``, wait for a line, and load."""
    load = ours(source, port, **SETTINGS)  # type: ignore[arg-type]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    load()


def shards(file: Path, workers: int, port: int) -> list[list[str]]:
    """Return the source of each worker, from a plan."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook  # noqa: PLC0415

    ours("", port)  # creates the connection
    return [kwargs["source"] for kwargs in VectorizeHook().plan("bench", str(file), shards=workers).kwargs()]


def once(file: Path, workers: int) -> tuple[float, dict[str, int]]:
    """Run a case, and return its seconds and the counts of the sink."""
    with run_sink(768, rate=RATE) as port, ExitStack() as stack:
        running = []
        for source in shards(file, workers, port):
            command = [sys.executable, __file__, "--worker", json.dumps({"source": source, "port": port})]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
            running.append(stack.enter_context(process))
        for process in running:
            if not process.stdout or process.stdout.readline() != "ready\n":
                raise SystemExit("A worker did not start.")
        started = time.perf_counter()
        for process in running:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        codes = [process.wait(timeout=600) for process in running]
        if any(codes):
            raise SystemExit("A worker failed.")
        return time.perf_counter() - started, sink_counts(port)


def measure(megabytes: int, runs: int) -> None:
    os.environ["AIRFLOW_HOME"] = airflow_home()
    file = corpus.ndjson(DATA, 768, megabytes)
    size = file.stat().st_size
    durations: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    requests: dict[int, int] = {}
    for _ in range(runs):
        for workers in WORKERS:
            seconds, counted = once(file, workers)
            durations[workers].append(seconds)
            requests[workers] = counted["requests"]
    single = statistics.median(durations[WORKERS[0]])
    report(f"{size / 1e9:.1f} GB, {RATE:g} MB/s per connection, {SETTINGS}, medians of {runs}")
    for workers, times in durations.items():
        median = statistics.median(times)
        report(
            f"  {workers} worker{'s' if workers > 1 else ' '} {median:6.1f} s ({min(times):.1f} to {max(times):.1f})  "
            f"{size / 1e6 / median:5.0f} MB/s of source  {requests[workers]} requests  {single / median:.2f} x one"
        )


def report(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", type=json.loads, help="source and port of a worker process, for internal use")
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
