"""The nights of a sync that are measured, next to a load of everything and to reading and checking alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import corpus
from measure import Case, Result, Target, at_most

TEXT = (
    "Before each night but the first, a first night runs in another process. Only the night itself is measured. The "
    "sink answers the audit with the rows of the corpus. What is compared by its time is measured with one process "
    "that checks rows and with as many as a task starts by default (auto).\n\n"
)
LOAD, READER = "a load of everything", "reading and checking alone"
FIRST, REWRITTEN = "sync, first night", "sync, other version with the same rows"
SKIPPED, CHANGED = "sync, unchanged object", "sync, 1% of the rows changed"
#: What is measured once for each number of processes, with the contestant and its options.
COMPARED = {
    LOAD: ("ours", {}),
    READER: ("reader", {}),
    FIRST: ("sync", {"night": "first"}),
    REWRITTEN: ("sync", {"night": "rewritten"}),
}
#: Other nights by label, with the options of the contestant.
NIGHTS = {
    SKIPPED: {"night": "skipped"},
    CHANGED: {"night": "changed"},
    "sync, the same by metadata.page": {"night": "changed", "changed_by": "metadata.page"},
}
PROCESSES: Mapping[str, str | int] = {"one process": 1, "auto": "auto"}


def cases(file: str, rows: int) -> list[Case]:
    """Return the cases of the group."""
    corpus.changed(Path(file))
    compared = [
        Case(f"{label}, {name}", contestant, file, {**options, "processes": processes}, rows=rows)
        for label, (contestant, options) in COMPARED.items()
        for name, processes in PROCESSES.items()
    ]
    return [*compared, *(Case(label, "sync", file, options, rows=rows) for label, options in NIGHTS.items())]


def targets(rows: int, results: Sequence[Result]) -> list[Target]:
    """Return the targets of the group.

    :param rows: Number of rows of the source.
    :param results: A result for each of :func:`cases`.
    """
    found = {result.case.label: result for result in results}
    skipped, changed = found[SKIPPED], found[CHANGED]
    changed_requests = -(-corpus.changed_rows(rows) // 5_000)
    memory = max(result.over_mb for result in results if result.case.contestant == "sync")
    ratios = [
        at_most(f"{night}, of the time of {other}, {name}", 1.35, _ratio(found, night, other, name))
        for night, other in ((FIRST, LOAD), (REWRITTEN, LOAD), (REWRITTEN, READER))
        for name in PROCESSES
    ]
    return [
        *ratios,
        at_most("sync, unchanged object", 5, skipped.seconds, " s"),
        at_most("requests of all kinds, sync, unchanged object", 10, skipped.requests + skipped.reads),
        at_most("writes, sync, same rows", 0, max(found[f"{REWRITTEN}, {name}"].requests for name in PROCESSES)),
        at_most("writes, sync, 1% changed, above the minimum", 1, changed.requests - changed_requests),
        at_most("memory, sync", 150, memory, " MB"),
    ]


def _ratio(found: Mapping[str, Result], label: str, other: str, name: str) -> float:
    return found[f"{label}, {name}"].seconds / found[f"{other}, {name}"].seconds
