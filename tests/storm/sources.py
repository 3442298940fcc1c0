"""Write, rewrite and cut the objects of a storm run, in the format that their names announce."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support import write_object

#: Rows of each row group of a Parquet object.
ROW_GROUP = 37


def write_source(path: Path, texts: list[bytes]) -> Path:
    """Write an object with a row for each line. The metadata of Parquet is a column of JSON text."""
    if path.suffix != ".parquet":
        return write_object(path, b"".join(text + b"\n" for text in texts))
    rows = [json.loads(text) for text in texts]
    columns = {
        "id": pa.array([row["id"] for row in rows], pa.string()),
        "values": pa.array([row["values"] for row in rows], pa.list_(pa.float64())),
        "namespace": pa.array([row.get("namespace") for row in rows], pa.string()),
        "metadata": pa.array([json.dumps(row["metadata"]) if "metadata" in row else None for row in rows], pa.string()),
    }
    pq.write_table(pa.table(columns), path, row_group_size=ROW_GROUP)
    return path


def shuffle_source(path: Path, rng: random.Random) -> None:
    """Replace an object by one with the same rows in another order."""
    temporary = path.with_suffix(".new")
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        pq.write_table(table.take(rng.sample(range(len(table)), len(table))), temporary, row_group_size=ROW_GROUP)
    else:
        lines = path.read_bytes().splitlines(keepends=True)
        rng.shuffle(lines)
        temporary.write_bytes(b"".join(lines))
    temporary.replace(path)


def part_boundaries(path: Path, rng: random.Random) -> list[int]:
    """Return the offsets at which parts of an object begin, and its end. Row groups may begin anywhere in a part."""
    size = path.stat().st_size
    if path.suffix == ".parquet":
        return sorted({0, size, *rng.sample(range(1, size), 2)})
    ends = [offset + 1 for offset, byte in enumerate(path.read_bytes()) if byte == ord("\n")]
    return sorted({0, ends[-1], *rng.sample(ends, min(2, len(ends)))})
