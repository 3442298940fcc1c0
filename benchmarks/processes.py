"""Compare loads whose rows are checked by one process and by several."""

from __future__ import annotations

import corpus
from measure import DATA, Case, Result, Target, at_least, at_most, run_group

FULL = {"float32_text": "never"}
LIGHT = {"validation": "light", "float32_text": "never"}
OFF = {"validation": "off", "float32_text": "never"}


def measure_processes(size_of: dict[int, int], runs: int) -> tuple[list[tuple[str, list[Result]]], list[Target]]:
    """Return titles with their results, and the targets.

    :param size_of: MB of the files, by their size in a full benchmark.
    """
    groups: list[tuple[str, list[Result]]] = []
    targets: list[Target] = []
    for dimensions, size in ((768, 2_000), (1_536, 1_000), (32, 500)):
        path = corpus.ndjson(DATA, dimensions, size_of[size])
        with path.open("rb") as stream:
            rows = sum(1 for _ in stream)
        cases = [
            Case(f"{label}, {processes} processes", "ours", str(path), {**options, "processes": processes}, rows=rows)
            for label, options in (("defaults", {}), ("full checks", FULL))
            for processes in (1, 2, 3)
        ]
        cases += [
            Case("defaults", "ours", str(path), rows=rows),
            Case("light checks", "ours", str(path), LIGHT, rows=rows),
            Case("validation off", "ours", str(path), OFF, rows=rows),
            Case("cloudflare SDK, 1,000 per call", "sdk", str(path), {"size": 1_000}, rows=rows),
            Case("cloudflare SDK, 5,000 per call", "sdk", str(path), rows=rows),
        ]
        title = f"Processes: {size / 1_000:g} GB, {dimensions:,} dimensions, {rows:,} vectors"
        results = run_group(title, cases, dimensions=dimensions, runs=runs)
        groups.append((title, results))
        targets += _targets(dimensions, {result.case.label: result for result in results})
    return groups, targets


def _targets(dimensions: int, results: dict[str, Result]) -> list[Target]:
    def ratio(label: str, other: str) -> float:
        return results[label].rate / results[other].rate

    name, sdk = f"{dimensions:,} dimensions", "cloudflare SDK, 5,000 per call"
    if dimensions == 32:
        return [
            at_least(
                f"{name}, full checks, two processes, of the SDK's rate", 0.6, ratio("full checks, 2 processes", sdk)
            )
        ]
    return [
        at_least(
            f"{name}, defaults, two processes to one", 1.6, ratio("defaults, 2 processes", "defaults, 1 processes")
        ),
        at_least(
            f"{name}, full checks, two processes to one",
            1.5,
            ratio("full checks, 2 processes", "full checks, 1 processes"),
        ),
        at_least(f"{name}, defaults, of the SDK's rate at 5,000 per call", 1, ratio("defaults", sdk)),
        at_most(f"{name}, memory of the parent, two processes", 32, results["defaults, 2 processes"].over_mb, " MB"),
    ]
