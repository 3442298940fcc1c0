"""The nights of a sync that are measured, next to a load of everything and to reading and checking alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import corpus
from measure import Case, Result, Target, at_most

TEXT = (
    "Before each night but the first, a first night runs in another process. Only the night itself is measured. The "
    "sink answers the audit with the rows of the corpus.\n\n"
)
#: Nights by label, with the options of the contestant.
NIGHTS = {
    "sync, first night": {"night": "first"},
    "sync, unchanged object": {"night": "skipped"},
    "sync, other version with the same rows": {"night": "rewritten"},
    "sync, 1% of the rows changed": {"night": "changed"},
    "sync, the same by metadata.page": {"night": "changed", "changed_by": "metadata.page"},
}


def cases(file: str, rows: int) -> list[Case]:
    """Return the cases of the group."""
    corpus.changed(Path(file))
    return [
        Case("load of everything", "ours", file, rows=rows),
        Case("reading and checking alone", "reader", file, rows=rows),
        *(Case(label, "sync", file, options, rows=rows) for label, options in NIGHTS.items()),
    ]


def targets(rows: int, results: Sequence[Result]) -> list[Target]:
    """Return the targets of the group.

    :param rows: Number of rows of the source.
    :param results: A result for each of :func:`cases`.
    """
    load, reader, first, unchanged, rewritten, changed, _ = results
    changed_requests = -(-corpus.changed_rows(rows) // 5_000)
    memory = max(result.over_mb for result in results if result.case.contestant == "sync")
    return [
        at_most("sync, first night, of the time of a load", 1.35, first.seconds / load.seconds),
        at_most("sync, unchanged object", 5, unchanged.seconds, " s"),
        at_most("requests of all kinds, sync, unchanged object", 10, unchanged.requests + unchanged.reads),
        at_most("sync, same rows, of the time of a load", 1.35, rewritten.seconds / load.seconds),
        at_most("sync, same rows, of the time of reading and checking", 1.35, rewritten.seconds / reader.seconds),
        at_most("writes, sync, same rows", 0, rewritten.requests),
        at_most("writes, sync, 1% changed, above the minimum", 1, changed.requests - changed_requests),
        at_most("memory, sync", 150, memory, " MB"),
    ]
