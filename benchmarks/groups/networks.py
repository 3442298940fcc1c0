"""Measure loads over connections that are as slow as real ones."""

from __future__ import annotations

from collections.abc import Iterator

from cases import OFF, Case, Files, Group, Result, Target, at_least, ours


def groups(files: Files) -> Iterator[Group]:
    file = files.ndjson(768, 2_000)
    cases = [ours(f"validation off, {count} in flight", file, max_in_flight=count, **OFF) for count in (1, 2, 4)]
    cases += [ours("defaults, 4 in flight", file, max_in_flight=4)]
    yield Group("200 ms latency per request, 2 GB", cases, _latency_targets, latency=0.2)
    cases = [
        Case("documentation's example, 5,000 per call", "docs_batches", file, runs=1),
        ours("defaults", file),
    ]
    yield Group("30 MB/s per connection, 2 GB", cases, _rate_targets, rate=30)


def _latency_targets(results: dict[str, Result]) -> list[Target]:
    ratio = results["validation off, 4 in flight"].rate / results["validation off, 1 in flight"].rate
    return [at_least("200 ms latency, four in flight relative to one", 2.5, ratio)]


def _rate_targets(results: dict[str, Result]) -> list[Target]:
    batches, default = results.values()
    ratio = default.rate / batches.rate
    return [at_least("30 MB/s per connection, relative to the documentation's example", 6, ratio)]
