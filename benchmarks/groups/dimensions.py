"""Compare checks, processes and the SDK for vectors of three lengths."""

from __future__ import annotations

from collections.abc import Iterator

from cases import (
    FULL,
    LIGHT,
    OFF,
    Case,
    Files,
    Group,
    Result,
    Target,
    at_least,
    at_most,
    minimum_requests,
    ours,
    requests_of,
    requests_target,
    rows_in,
)

SDK = "cloudflare SDK, 5,000 per call"
FULL_ALONE, DEFAULTS_ALONE = "full checks, one process", "defaults, one process"
Results = dict[str, Result]


def groups(files: Files) -> Iterator[Group]:
    """Yield a group for each number of dimensions."""
    file, small_file = files.ndjson(768, 2_000), files.ndjson(768, 200)
    cases = [
        *_cases(file, most_runs=5),
        ours("validation off, 200 MB", small_file, 5, **OFF),
        ours("defaults, 200 MB", small_file),
    ]
    yield Group(
        "2 GB, 768 dimensions", cases, lambda results: [*_long_row_targets(768, results), *_size_targets(results)]
    )
    yield Group(
        "2 GB, 1536 dimensions",
        _cases(files.ndjson(1_536, 2_000)),
        lambda results: _long_row_targets(1_536, results),
        dimensions=1_536,
    )
    yield Group("0.5 GB, 32 dimensions", _cases(files.ndjson(32, 500)), _short_row_targets, dimensions=32)


def _cases(file: str, most_runs: int = 3) -> list[Case]:
    """Return the cases of a file. The fast ones vary most, so they have more runs."""
    return [
        Case("plain socket", "plain_socket", file, runs=most_runs),
        ours("validation off", file, most_runs, **OFF),
        ours("light checks", file, most_runs, **LIGHT),
        ours("full checks, one process", file, processes=1, **FULL),
        ours("full checks", file, **FULL),
        ours("defaults, one process", file, processes=1),
        ours("defaults", file),
        Case(SDK, "sdk", file),
    ]


def _ratio(results: Results, label: str, other: str) -> float:
    return results[label].rate / results[other].rate


def _size_targets(results: Results) -> list[Target]:
    """Return the targets that only the first group has: rates, and how the time grows with the source."""

    def growth(label: str) -> float:
        return results[label].seconds / results[f"{label}, 200 MB"].seconds

    return [
        at_least("validation off, of the plain socket's rate", 0.75, _ratio(results, "validation off", "plain socket")),
        at_least("light checks, of the plain socket's rate", 0.4, _ratio(results, "light checks", "plain socket")),
        at_least("full checks, one process", 400, results["full checks, one process"].rate, " MB/s"),
        at_least("defaults, one process", 250, results["defaults, one process"].rate, " MB/s"),
        at_most("time of 2 GB relative to 200 MB, validation off", 10.5, growth("validation off")),
        at_most("time of 2 GB relative to 200 MB, defaults", 10.5, growth("defaults")),
    ]


def _long_row_targets(dimensions: int, results: Results) -> list[Target]:
    name = f"{dimensions:,} dimensions"
    return [
        at_least(f"{name}, full checks in one process, of the SDK's rate", 1, _ratio(results, FULL_ALONE, SDK)),
        at_least(f"{name}, defaults, of the SDK's rate", 1, _ratio(results, "defaults", SDK)),
        at_least(f"{name}, defaults relative to one process", 1.6, _ratio(results, "defaults", DEFAULTS_ALONE)),
        at_least(f"{name}, full checks relative to one process", 1.5, _ratio(results, "full checks", FULL_ALONE)),
        at_most(f"{name}, memory of the parent, defaults", 32, results["defaults"].over_mb, " MB"),
        at_most(f"{name}, memory of each started process", 64, results["defaults"].started_mb, " MB"),
        *_request_targets(name, results),
    ]


def _short_row_targets(results: Results) -> list[Target]:
    ratio = _ratio(results, "full checks", SDK)
    return [
        at_least("32 dimensions, full checks, of the SDK's rate", 0.75, ratio),
        at_least("32 dimensions, full checks, of the SDK's rate, the later and lower target", 0.6, ratio),
        *_request_targets("32 dimensions", results),
    ]


def _request_targets(name: str, results: Results) -> list[Target]:
    unchanged, default = results["validation off"], results["defaults"]
    file = default.case.file
    return [
        requests_target(f"{name}, unchanged text", minimum_requests(file), unchanged),
        requests_target(f"{name}, float32 text", requests_of(rows_in(file)), default),
    ]
