"""Sync 1 M and 5 M small vectors for four nights, and print what each night costs.

    python benchmarks/sync_sizes.py [ROWS ...]

Each night runs in a process of its own, which first syncs one row to import everything. Memory is the peak of resident
anonymous memory above what the process used after that, sampled every 20 ms.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import corpus
from contestants import memory_kb
from measure import DATA, run_sink, sink_counts
from provider_ways import connect

DIMENSIONS = 4
#: Bytes of a row of the corpus, about.
ROW_BYTES = 166
NIGHTS = ("first", "unchanged object", "same rows, other version", "1% changed")


def operator(port: int, source: Path, state: Path) -> Any:
    """Return the operator of a night."""
    connect(port)
    from airflow_provider_vectorize.operators.sync import VectorizeSyncOperator  # noqa: PLC0415

    return VectorizeSyncOperator(task_id="sync", index_name="bench", source=str(source), state=str(state))


class AnonymousMemory:
    """Samples the resident anonymous memory of this process, and keeps the peak."""

    def __init__(self) -> None:
        self.before = self.peak = memory_kb("RssAnon")
        self.stopped = threading.Event()
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        while not self.stopped.wait(0.02):
            self.peak = max(self.peak, memory_kb("RssAnon"))

    def stop(self) -> float:
        """Return the peak in MB over the beginning."""
        self.stopped.set()
        return (self.peak - self.before) / 1024


def night(port: int, source: Path, state: Path, one_row: Path, result: Any) -> None:
    """Run one night in this process, and put its figures into a queue.

    The row that is synced before goes to another sink, because it would be the write of another writer here.
    """
    with run_sink(DIMENSIONS) as other, tempfile.TemporaryDirectory(dir=state.parent) as folder:
        operator(other, one_row, Path(folder) / "state").execute({})
    task = operator(port, source, state)
    sink_counts(port, "reset")
    memory, started = AnonymousMemory(), time.perf_counter()
    task.execute({})
    seconds = time.perf_counter() - started
    counts = sink_counts(port)
    result.put((seconds, memory.stop(), counts["requests"], counts["reads"]))


def nights(rows: int) -> None:
    """Run all nights of one size, and print their figures."""
    file = corpus.ndjson(DATA, DIMENSIONS, rows * ROW_BYTES // 1_000_000)
    changed = corpus.changed(file)
    one_row = corpus.first_lines(file, 1)
    with (
        run_sink(DIMENSIONS, holds_corpus=True) as port,
        tempfile.TemporaryDirectory(prefix="sync-", dir=DATA) as name,
    ):
        source, state = Path(name) / "docs.ndjson", Path(name) / "state"
        source.hardlink_to(file)
        for number, label in enumerate(NIGHTS):
            if number == 2:
                os.utime(source)
            if number == 3:
                source.unlink()
                source.hardlink_to(changed)
            context = multiprocessing.get_context("spawn")
            result = context.Queue()
            process = context.Process(target=night, args=(port, source, state, one_row, result))
            process.start()
            process.join()
            if process.exitcode:
                sys.exit(f"The night failed: {label}.")
            seconds, megabytes, writes, reads = result.get()
            columns = json.loads((state / "current.json").read_text())["columns"]
            print(  # noqa: T201
                f"{columns['ids']:>9,} ids  {label:26} {seconds:7.1f} s  {megabytes:5.0f} MB anonymous  {writes:5} "
                f"writes  {reads:3} reads  {columns['bytes'] / columns['ids']:.1f} bytes of state an id",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="*", default=[1_000_000, 5_000_000])
    for rows in parser.parse_args().rows:
        nights(rows)


if __name__ == "__main__":
    main()
