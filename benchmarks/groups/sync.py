"""The nights of a sync that are measured, next to a load of everything and to reading and checking alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import corpus
from cases import Case, Files, Group, Result, Target, at_most, requests_of, rows_in

TEXT = (
    "Before each night but the first, a first night runs in another process. Only the night itself is measured. The "
    "sink answers the audit with the rows of the corpus. What is compared by its time is measured with one process "
    "that checks rows and with as many as a task starts by default (auto).\n\n"
)
LOAD, READER = "a load of everything", "reading and checking alone"
FIRST, REWRITTEN = "sync, first night", "sync, other version with the same rows"
SKIPPED, CHANGED = "sync, unchanged object", "sync, 1% of the rows changed"
#: What is measured once for each number of processes, with the contestant and its options.
COMPARED: Mapping[str, tuple[str, dict[str, str]]] = {
    LOAD: ("ours", {}),
    READER: ("reader", {}),
    FIRST: ("sync", {"night": "first"}),
    REWRITTEN: ("sync", {"night": "rewritten"}),
}
PROCESSES: Mapping[str, str | int] = {"one process": 1, "auto": "auto"}
#: Label of another night, options of the contestant, and runs. Their times have no target that is close.
NIGHTS: tuple[tuple[str, dict[str, str], int], ...] = (
    (SKIPPED, {"night": "skipped"}, 1),
    (CHANGED, {"night": "changed"}, 2),
    ("sync, the same by metadata.page", {"night": "changed", "changed_by": "metadata.page"}, 2),
)


def groups(files: Files) -> Iterator[Group]:
    file = files.ndjson(768, 2_000)
    corpus.changed(Path(file))
    rows = rows_in(file)
    cases = [
        *(
            Case(f"{label}, {name}", contestant, file, {**options, "processes": processes}, rows=rows)
            for label, (contestant, options) in COMPARED.items()
            for name, processes in PROCESSES.items()
        ),
        *(Case(label, "sync", file, options, runs, rows) for label, options, runs in NIGHTS),
    ]
    title = f"Sync, 768 dimensions, {rows:,} vectors"
    yield Group(title, cases, partial(_targets, rows), TEXT, holds_corpus=True)


def _targets(rows: int, results: dict[str, Result]) -> list[Target]:
    skipped, changed = results[SKIPPED], results[CHANGED]
    changed_requests = requests_of(corpus.changed_rows(rows))
    memory = max(result.over_mb for result in results.values() if result.case.contestant == "sync")
    ratios = [
        at_most(f"{night}, of the time of {other}, {name}", 1.35, _ratio(results, night, other, name))
        for night, other in ((FIRST, LOAD), (REWRITTEN, LOAD), (REWRITTEN, READER))
        for name in PROCESSES
    ]
    return [
        *ratios,
        at_most("sync, unchanged object", 5, skipped.seconds, " s"),
        at_most("requests of all kinds, sync, unchanged object", 10, skipped.requests + skipped.reads),
        at_most("writes, sync, same rows", 0, max(results[f"{REWRITTEN}, {name}"].requests for name in PROCESSES)),
        at_most("writes, sync, 1% changed, above the minimum", 1, changed.requests - changed_requests),
        at_most("memory, sync", 150, memory, " MB"),
    ]


def _ratio(results: dict[str, Result], label: str, other: str, name: str) -> float:
    return results[f"{label}, {name}"].seconds / results[f"{other}, {name}"].seconds
