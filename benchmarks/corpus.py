"""Create seeded files of vectors, as ``json.dumps`` writes them (float64 text). Existing files are reused."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path


def ndjson(folder: Path, dimensions: int, megabytes: int, *, float32: bool = False) -> Path:
    """Create a file of at least this size, and a file with its first row.

    A thousand rows are random and then repeat under new ids. Generating all of them would take longer than all
    measurements, and no contestant compares a row with earlier ones.

    :param float32: Write the shortest text of float32 values instead of float64 values.
    """
    path = folder / f"d{dimensions}-{megabytes}mb{'-f32' if float32 else ''}.ndjson"
    if path.exists():
        return path
    rng = random.Random(dimensions)  # noqa: S311 - vectors, not secrets
    folder.mkdir(parents=True, exist_ok=True)
    tails = [_tail(rng, dimensions, float32) for _ in range(1_000)]
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


def _tail(rng: random.Random, dimensions: int, float32: bool) -> bytes:
    values = [rng.gauss(0, 0.05) for _ in range(dimensions)]
    if float32:
        import numpy as np  # noqa: PLC0415
        import orjson  # noqa: PLC0415

        text = orjson.dumps(np.array(values, dtype=np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
    else:
        text = json.dumps(values).encode()
    return text + b', "metadata": {"page": %d, "lang": "en"}' % rng.randrange(1_000)


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
