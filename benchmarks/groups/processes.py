"""Compare one process with the default number on a source that takes long, since the others start late."""

from __future__ import annotations

from collections.abc import Iterator

from cases import Case, Files, Group, Result, Target, at_least, rows_in


def groups(files: Files) -> Iterator[Group]:
    file = files.ndjson(768, 5_000)
    rows = rows_in(file)
    cases = [
        Case("defaults, one process", "ours", file, {"processes": 1}, runs=2, rows=rows),
        Case("defaults", "ours", file, runs=2, rows=rows),
    ]
    yield Group(f"Processes: 5 GB, 768 dimensions, {rows:,} vectors", cases, _targets)


def _targets(results: dict[str, Result]) -> list[Target]:
    ratio = results["defaults"].rate / results["defaults, one process"].rate
    return [at_least("5 GB, 768 dimensions, defaults relative to one process", 1.6, ratio)]
