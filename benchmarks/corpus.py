"""Seeded files of vectors as ``json.dumps`` writes them: float64 text."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path


def ndjson(folder: Path, dimensions: int, megabytes: int, *, float32: bool = False) -> Path:
    """A file of about so many MB; made once.

    The numbers are random, a thousand rows of them, which then repeat under new ids: making all of them would take
    longer than all measurements, and nothing measured looks further back than a row.

    :param float32: write the shortest text of the float32 instead of the float64.
    """
    path = folder / f"d{dimensions}-{megabytes}mb{'-f32' if float32 else ''}.ndjson"
    if path.exists():
        return path
    rng = random.Random(dimensions)  # noqa: S311 - vectors, not secrets
    folder.mkdir(parents=True, exist_ok=True)
    tails = [_tail(rng, dimensions, float32) for _ in range(1_000)]
    part = path.with_suffix(".part")
    written = number = 0
    with part.open("wb") as stream:
        while written < megabytes * 1_000_000:
            line = b'{"id": "vector-%09d", "values": %b}\n' % (number, tails[number % len(tails)])
            number += 1
            written += stream.write(line)
    part.rename(path)
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
    """The same, compressed as ``gzip -6`` does; made once."""
    target = path.with_name(path.name + ".gz")
    if not target.exists():
        part = target.with_suffix(".part")
        with path.open("rb") as stream, gzip.open(part, "wb", compresslevel=6) as out:
            while piece := stream.read(1 << 20):
                out.write(piece)
        part.rename(target)
        first = target.with_name(f"one-row-{target.name}")
        first.write_bytes(gzip.compress(first_lines(path, 1).read_bytes()))
    return target


def first_lines(path: Path, lines: int) -> Path:
    """The first so many rows, in a file of their own; made once."""
    target = path.with_name(f"{'one-row' if lines == 1 else f'{lines}-rows'}-{path.name}")
    if not target.exists():
        with path.open("rb") as stream, target.open("wb") as out:
            for _, line in zip(range(lines), stream, strict=False):
                out.write(line)
    return target


def parts(path: Path, count: int) -> Path:
    """A folder with the same rows in so many files, and one with one row; made once."""
    folder = path.with_name(f"{path.stem}-in-{count}")
    if not folder.exists():
        lines = path.read_bytes().splitlines(keepends=True)
        making = folder.with_suffix(".part")
        making.mkdir()
        for number in range(count):
            some = lines[number * len(lines) // count : (number + 1) * len(lines) // count]
            (making / f"{number:04}.ndjson").write_bytes(b"".join(some))
        (making / "one-row").write_bytes(lines[0])
        making.rename(folder)
    return folder
