"""Measure the memory of sources of different sizes, compressed and in many objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import corpus
from cases import OFF, Files, Group, Result, Target, at_most, ours, requests_of, requests_target, rows_in

SIZES, GZIP_SIZES = (100, 1_000, 2_000), (100, 1_000)
MANY = "defaults, 300 objects with a total of 100 MB"


def groups(files: Files) -> Iterator[Group]:
    local = {size: files.ndjson(768, size) for size in SIZES}
    many = corpus.split(Path(local[100]), 300)
    cases = [
        *(ours(f"defaults, {size:,} MB", file, 2) for size, file in local.items()),
        *(ours(f"validation off, {size:,} MB", file, 2, **OFF) for size, file in local.items()),
        *(ours(f"defaults, gzip of {size:,} MB", str(corpus.gzipped(Path(local[size]))), 2) for size in GZIP_SIZES),
        ours(MANY, f"{many}/*.ndjson", 2),
    ]
    yield Group("Memory", cases, lambda results: _targets(requests_of(rows_in(local[100])), results))


def _targets(requests: int, results: dict[str, Result]) -> list[Target]:
    targets = []
    for kind in ("defaults", "validation off"):
        peaks = [results[f"{kind}, {size:,} MB"].over_mb for size in SIZES]
        targets += [
            at_most(f"memory, local file, {kind}", 32, max(peaks), " MB"),
            # A source of 100 MB fills no more than two batches and starts no other process, so it is no measure.
            at_most(f"memory, 2 GB relative to 1 GB, {kind}", 1.1, peaks[2] / peaks[1]),
        ]
    started = max(results[f"defaults, {size:,} MB"].started_mb for size in SIZES)
    gzipped = max(results[f"defaults, gzip of {size:,} MB"].over_mb for size in GZIP_SIZES)
    return [
        *targets,
        at_most("memory, each process that a load of a local file starts", 64, started, " MB"),
        at_most("memory, gzip", 96, gzipped, " MB"),
        requests_target("300 objects", requests, results[MANY]),
    ]
