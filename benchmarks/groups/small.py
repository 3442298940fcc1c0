"""Measure a load of a few rows, for which nothing may be prepared that pays only for many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import corpus
from cases import Case, Files, Group, Result, Target, at_most, ours


def groups(files: Files) -> Iterator[Group]:
    sample = corpus.first_lines(Path(files.ndjson(768, 100)), 100)
    corpus.first_lines(sample, 1)
    cases = [
        ours("defaults", str(sample), 5),
        Case("cloudflare SDK, 5,000 per call", "sdk", str(sample), runs=5),
    ]
    yield Group("100 rows, 768 dimensions", cases, _targets)


def _targets(results: dict[str, Result]) -> list[Target]:
    return [at_most("processes started, 100 rows, defaults", 0, results["defaults"].started)]
