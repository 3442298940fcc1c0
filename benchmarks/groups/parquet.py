"""Compare Parquet with the same vectors as ndjson, and with ndjson that has other field names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import corpus
from cases import Case, Files, Group, Result, Target, at_least, at_most, rows_in

#: Fields of the files that :func:`corpus.mapped` creates.
MAPPED_FIELDS = {"id": "key", "values": "doc.embedding", "metadata": ["page", "lang"]}
ALONE = "ndjson, float64 text, one process"
#: Type of the values, compression, and rows of each row group or 0 for a single one.
FLOAT32 = (("float32", "snappy", 0), ("float32", "snappy", 5_000))
OTHERS = (("float32", "zstd", 5_000), ("float64", "snappy", 5_000))


def groups(files: Files) -> Iterator[Group]:
    for dimensions, size, variants in ((768, 2_000, FLOAT32 + OTHERS), (1_536, 1_000, FLOAT32)):
        file = files.ndjson(dimensions, size)
        rows = rows_in(file)
        cases = [
            Case(ALONE, "ours", file, {"processes": 1}, rows=rows),
            Case("ndjson, float64 text", "ours", file, rows=rows),
            *(_case(files, dimensions, rows, *variant) for variant in variants),
            _alone(_case(files, dimensions, rows, *FLOAT32[0])),
        ]
        if dimensions == 768:
            mapped = str(corpus.mapped(Path(file)))
            cases += [Case("mapped ndjson, float64 text", "ours", mapped, {"fields": MAPPED_FIELDS}, rows=rows)]
        title = f"Parquet and mapped ndjson, {dimensions:,} dimensions, {rows:,} vectors"
        yield Group(title, cases, partial(_targets, dimensions), dimensions=dimensions)


def _case(files: Files, dimensions: int, rows: int, value_type: str, compression: str, group: int) -> Case:
    row_groups = f"row groups of {group:,}" if group else "one row group"
    path = corpus.parquet(files.folder, dimensions, rows, value_type=value_type, compression=compression, group=group)
    return Case(f"Parquet, {value_type}, {compression}, {row_groups}", "ours", str(path), rows=rows)


def _alone(case: Case) -> Case:
    return replace(case, label=f"{case.label}, one process", options={"processes": 1})


def _targets(dimensions: int, results: dict[str, Result]) -> list[Target]:
    parquet = {label: result for label, result in results.items() if label.startswith("Parquet")}
    slowest = min(
        result.vectors_per_second for label, result in parquet.items() if "float32" in label and not result.case.options
    )
    name = f"Parquet of float32, {dimensions:,} dimensions, vectors per second of ndjson's in one process"
    memory = max(result.over_mb for result in parquet.values())
    return [
        at_least(name, 2, slowest / results[ALONE].vectors_per_second),
        at_most(f"memory, Parquet, {dimensions:,} dimensions", 160, memory, " MB"),
    ]
