"""The nights of a sync that are measured, next to a load of everything and to reading and checking alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import corpus
from cases import Case, Files, Group, Result, Target, at_most, requests_of, rows_in

TEXT = (
    "Before each night but the first, a first night runs in another process. Only the night itself is measured. The "
    "sink answers the audit with the rows of the corpus.\n\n"
)
#: Label of a night, options of the contestant, and runs. Nights whose time has no target that is close have fewer.
NIGHTS: tuple[tuple[str, dict[str, str], int], ...] = (
    ("sync, first night", {"night": "first"}, 3),
    ("sync, unchanged object", {"night": "skipped"}, 1),
    ("sync, other version with the same rows", {"night": "rewritten"}, 3),
    ("sync, 1% of the rows changed", {"night": "changed"}, 2),
    ("sync, the same by metadata.page", {"night": "changed", "changed_by": "metadata.page"}, 2),
)


def groups(files: Files) -> Iterator[Group]:
    file = files.ndjson(768, 2_000)
    corpus.changed(Path(file))
    rows = rows_in(file)
    cases = [
        Case("load of everything", "ours", file, rows=rows),
        Case("reading and checking alone", "reader", file, rows=rows),
        *(Case(label, "sync", file, options, runs, rows) for label, options, runs in NIGHTS),
    ]
    title = f"Sync, 768 dimensions, {rows:,} vectors"
    yield Group(title, cases, partial(_targets, rows), TEXT, holds_corpus=True)


def _targets(rows: int, results: dict[str, Result]) -> list[Target]:
    load, reader, first, unchanged, rewritten, changed, _ = results.values()
    changed_requests = requests_of(corpus.changed_rows(rows))
    memory = max(result.over_mb for result in results.values() if result.case.contestant == "sync")
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
