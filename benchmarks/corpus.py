"""Create seeded files of vectors: ndjson as ``json.dumps`` writes it (float64 text), and Parquet. Files are reused."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

#: Every hundredth row differs in a changed copy.
CHANGED = 100


def ndjson(folder: Path, dimensions: int, megabytes: int, *, float32: bool = False) -> Path:
    """Create a file of at least this size, and a file with its first row.

    A thousand rows are random and then repeat under new ids. Generating all of them would take longer than all
    measurements, and no contestant compares a row with earlier ones.

    :param float32: Write the shortest text of float32 values instead of float64 values.
    """
    path = folder / f"d{dimensions}-{megabytes}mb{'-f32' if float32 else ''}.ndjson"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    tails = [_tail(values, page, float32) for values, page in distinct_rows(dimensions)]
    temporary = path.with_suffix(".part")
    written = number = 0
    with temporary.open("wb") as stream:
        while written < megabytes * 1_000_000:
            line = b'{"id": "vector-%09d", "values": %b}\n' % (number, tails[number % len(tails)])
            number += 1
            written += stream.write(line)
    temporary.rename(path)
    first_lines(path, 1)
    return path


def distinct_rows(dimensions: int) -> list[tuple[list[float], int]]:
    """Return the values and the page number of a thousand rows."""
    rng = random.Random(dimensions)  # noqa: S311 - vectors, not secrets
    return [([rng.gauss(0, 0.05) for _ in range(dimensions)], rng.randrange(1_000)) for _ in range(1_000)]


def row_number(vector_id: str) -> int:
    """Return the number of the row with an ID."""
    return int(vector_id.removeprefix("vector-"))


def changed(path: Path) -> Path:
    """Copy a file of vectors, and the file of its first row. Some rows have the text of the row before them."""
    target = path.with_name(f"changed-{path.name}")
    if not target.exists():
        temporary = target.with_suffix(".part")
        with path.open("rb") as stream, temporary.open("wb") as out:
            last = b""
            for number, line in enumerate(stream):
                head, text = line.split(b", ", 1)
                out.write(b"%b, %b" % (head, last if number and not number % CHANGED else text))
                last = text
        temporary.rename(target)
    if not path.name.startswith("one-row-"):
        changed(path.with_name(f"one-row-{path.name}"))
    return target


def changed_rows(rows: int) -> int:
    """Return the number of rows in which a file and its changed copy differ."""
    return (rows - 1) // CHANGED


def _tail(values: list[float], page: int, float32: bool) -> bytes:
    if float32:
        import numpy as np  # noqa: PLC0415
        import orjson  # noqa: PLC0415

        text = orjson.dumps(np.array(values, dtype=np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
    else:
        text = json.dumps(values).encode()
    return text + b', "metadata": {"page": %d, "lang": "en"}' % page


def mapped(path: Path) -> Path:
    """Copy a file of vectors with other field names: ``key``, ``doc.embedding``, ``page`` and ``lang``."""
    target = path.with_name(f"mapped-{path.name}")
    if not target.exists():
        temporary = target.with_suffix(".part")
        with path.open("rb") as stream, temporary.open("wb") as out:
            for line in stream:
                head, rest = line.split(b', "values": ')
                values, metadata = rest.split(b', "metadata": {')
                key = head.replace(b'"id"', b'"key"')
                out.write(b'%b, "doc": {"embedding": %b}, %b' % (key, values, metadata.replace(b"}}", b"}")))
        temporary.rename(target)
        first_lines(target, 1)
    return target


def parquet(
    folder: Path, dimensions: int, rows: int, *, value_type: str = "float32", compression: str = "zstd", group: int = 0
) -> Path:
    """Create a Parquet file of the first rows of the ndjson file with the same dimensions, and one of its first row.

    :param value_type: Type of the values, ``float32`` or ``float64``.
    :param group: Rows of each row group, 0 for a single row group.
    """
    group = group or rows
    path = folder / f"d{dimensions}-{rows}rows-{value_type}-{compression}-{group}.parquet"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    _write_parquet(path.with_name(f"one-row-{path.name}"), dimensions, 1, value_type, compression, group)
    temporary = path.with_suffix(".part")
    _write_parquet(temporary, dimensions, rows, value_type, compression, group)
    temporary.rename(path)
    return path


def _write_parquet(path: Path, dimensions: int, rows: int, value_type: str, compression: str, group: int) -> None:
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    distinct = distinct_rows(dimensions)
    values = np.array([row for row, _ in distinct], value_type)
    pages = np.array([page for _, page in distinct])
    number_type = pa.from_numpy_dtype(values.dtype)
    metadata_type = pa.struct([("page", pa.int64()), ("lang", pa.string())])
    schema = pa.schema([("id", pa.string()), ("values", pa.list_(number_type)), ("metadata", metadata_type)])
    with pq.ParquetWriter(path, schema, compression=compression) as writer:
        for first in range(0, rows, group):
            numbers = np.arange(first, min(first + group, rows))
            flat = pa.array(values[numbers % len(distinct)].ravel())
            ends = pa.array(np.arange(len(numbers) + 1, dtype=np.int32) * dimensions)
            metadata = pa.StructArray.from_arrays(
                [pa.array(pages[numbers % len(distinct)]), pa.array(["en"] * len(numbers))], fields=list(metadata_type)
            )
            ids = pa.array([f"vector-{number:09}" for number in numbers])
            writer.write_table(
                pa.Table.from_arrays([ids, pa.ListArray.from_arrays(ends, flat), metadata], schema=schema), group
            )


def gzipped(path: Path) -> Path:
    """Compress a file as ``gzip -6`` does."""
    target = path.with_name(path.name + ".gz")
    if not target.exists():
        temporary = target.with_suffix(".part")
        with path.open("rb") as stream, gzip.open(temporary, "wb", compresslevel=6) as out:
            while piece := stream.read(1 << 20):
                out.write(piece)
        temporary.rename(target)
        first = target.with_name(f"one-row-{target.name}")
        first.write_bytes(gzip.compress(first_lines(path, 1).read_bytes()))
    return target


def first_lines(path: Path, lines: int) -> Path:
    """Copy the first rows of a file into another file."""
    target = path.with_name(f"{'one-row' if lines == 1 else f'{lines}-rows'}-{path.name}")
    if not target.exists():
        with path.open("rb") as stream, target.open("wb") as out:
            for _, line in zip(range(lines), stream, strict=False):
                out.write(line)
    return target


def split(path: Path, count: int) -> Path:
    """Split a file into several files in a folder, and add a file with one row."""
    folder = path.with_name(f"{path.stem}-in-{count}")
    if not folder.exists():
        lines = path.read_bytes().splitlines(keepends=True)
        temporary = folder.with_suffix(".part")
        temporary.mkdir()
        for number in range(count):
            file_lines = lines[number * len(lines) // count : (number + 1) * len(lines) // count]
            (temporary / f"{number:04}.ndjson").write_bytes(b"".join(file_lines))
        (temporary / "one-row").write_bytes(lines[0])
        temporary.rename(folder)
    return folder
