"""Compare this provider with other ways to load a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import corpus
from cases import FULL, Case, Files, Group, Result, Target, at_least, ours
from measure import HERE


def groups(files: Files) -> Iterator[Group]:
    file = files.ndjson(768, 1_000)
    cases = [
        Case("plain socket", "plain_socket", file),
        ours("defaults", file),
        ours("full checks", file, **FULL),
        Case("cloudflare SDK, 1,000 per call", "sdk", file, {"size": 1_000}),
        Case("cloudflare SDK, 5,000 per call", "sdk", file),
        Case("documentation's example, whole file", "docs_whole", file),
        Case("documentation's example, 5,000 per call", "docs_batches", file),
        Case("a naive operator", "naive_operator", file, runs=1),
    ]
    yield Group("1 GB, 768 dimensions: the peers", cases, _targets)
    if command := find_wrangler():
        sample = corpus.first_lines(Path(files.ndjson(768, 2_000)), 100_000)
        corpus.first_lines(sample, 1)
        cases = [
            Case("wrangler", "wrangler", str(sample), {"command": command}, runs=1),
            ours("defaults", str(sample)),
        ]
        yield Group("100,000 vectors, the maximum of wrangler", cases)


def find_wrangler() -> str | None:
    """Return the path of Cloudflare's command line, if it is installed."""
    commands = sorted(HERE.parent.glob(".tools/**/node_modules/.bin/wrangler"))
    return str(commands[0]) if commands else None


def _targets(results: dict[str, Result]) -> list[Target]:
    ratio = results["full checks"].rate / results["a naive operator"].rate
    return [at_least("full checks, relative to a naive operator", 20, ratio)]
