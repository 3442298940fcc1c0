"""A survey: what a few small reads tell of a source before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import orjson

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.sources.compression import (
    decompressed_beginning,
    is_compressed,
    raise_source_errors,
    refuse_compressed,
)
from airflow_provider_vectorize.sources.parts import Part

#: Places of the source that are looked at, and bytes that are read at each.
PLACES = 16
PLACE_BYTES = 256 << 10
#: Of a compressed object the beginning is read, and more of it, since the text is known by whole blocks only.
PACKED_BYTES = 1 << 20
#: Of so much text at the beginning of a compressed object no more is unpacked.
TEXT_BYTES = 16 << 20
#: Values are rewritten where that leaves no more than this of a row, as the load does with ``float32_text="auto"``.
WORTH_REWRITING = 0.9


class Surveyed(Protocol):
    """An object that can be looked into."""

    @property
    def uri(self) -> str: ...

    @property
    def key(self) -> str:
        """Its key, whose end says how it is compressed."""
        ...

    @property
    def encoding(self) -> str:
        """The content encoding in the store's metadata, or nothing. May ask the store, once."""
        ...

    @property
    def name(self) -> str:
        """What finds it again, with its connection."""
        ...

    def name_of_part(self, part: Part) -> str:
        """What finds a part of it again, as long as it is the same version."""
        ...

    @property
    def size(self) -> int | None: ...

    def read(self, start: int, end: int) -> bytes:
        """Some of its bytes, as stored."""
        ...


@dataclass(frozen=True)
class Survey:
    """What was seen of the source.

    :param rows: whole rows, from all over it.
    :param row_bytes: of an average row with its end, and what blank lines there are.
    :param ratios: of each object, bytes of text for one as stored; 1 where it is not compressed.
    """

    rows: tuple[bytes, ...]
    row_bytes: float
    ratios: tuple[float, ...]

    def ids(self, count: int) -> list[str]:
        """Ids of so many rows, from all over the source; fewer where rows are bad, which is the load's to say."""
        found: dict[str, None] = {}
        for n in range(count):
            row = _parsed(self.rows[len(self.rows) * n // count])
            if isinstance(row.get("id"), str):
                found.setdefault(row["id"])
        return list(found)

    @cached_property
    def share_sent(self) -> float:
        """How much of the text travels: less than 1 where values as float32 text are worth it."""
        before = sum(map(len, self.rows))
        after = sum(map(_sent, self.rows))
        return after / before if after <= WORTH_REWRITING * before else 1.0


def survey(objects: Sequence[Surveyed]) -> Survey:
    """Read a little at some places, evenly over the source's bytes.

    :raises SourceError: an object cannot be read, or there is no row at any of the places.
    """
    rows: list[bytes] = []
    text_bytes = 0
    ratios: dict[int, float] = {}
    for number, at in _places([(item.size or 0, not is_compressed(item.key)) for item in objects]):
        lines, ratios[number] = _look(objects[number], at)
        rows += [line for line in lines.split(b"\n") if line.strip()]
        text_bytes += len(lines)
    if not rows:
        names = objects[0].uri + (f" and {len(objects) - 1} more" if len(objects) > 1 else "")
        raise SourceError(
            f"The source is empty, or no ndjson: {names} has no rows where it was looked into. Nothing was planned.",
            uri=objects[0].uri,
        )
    mean = {compressed: _mean_ratio(objects, ratios, compressed) for compressed in (False, True)}
    return Survey(
        tuple(rows),
        text_bytes / len(rows),
        tuple(ratios.get(number, mean[is_compressed(item.key)]) for number, item in enumerate(objects)),
    )


def _places(objects: Sequence[tuple[int, bool]]) -> list[tuple[int, int]]:
    """Numbers of objects and bytes in them, evenly over all bytes of the source, each once.

    :param objects: their sizes, and whether one can look into their middle.
    """
    total, places = sum(size for size, _ in objects), []
    count = min(PLACES, -(-total // PLACE_BYTES))
    for n in range(count):
        at = total * n // count
        for number, (size, anywhere) in enumerate(objects):
            if at < size:
                places.append((number, at if anywhere else 0))
                break
            at -= size
    return list(dict.fromkeys(places))


def _mean_ratio(objects: Sequence[Surveyed], ratios: Mapping[int, float], compressed: bool) -> float:
    """The usual ratio of objects whose keys say, or do not say, that they are compressed."""
    usual = [ratio for number, ratio in ratios.items() if is_compressed(objects[number].key) == compressed]
    return sum(usual) / len(usual) if usual else 1.0


def _look(item: Surveyed, at: int) -> tuple[bytes, float]:
    """The whole lines after a byte of an object, and its bytes of text for one as stored."""
    compressed = is_compressed(item.key, item.encoding)
    at = 0 if compressed else at
    end = min(at + (PACKED_BYTES if compressed else PLACE_BYTES), item.size or 0)
    with raise_source_errors(item.uri):
        head = item.read(at, end)
        if not at and not compressed:
            refuse_compressed(head[:4], item.uri)
        text, taken = decompressed_beginning(head, item.key, TEXT_BYTES, encoding=item.encoding)
    first = (text.find(b"\n") + 1 or len(text)) if at else 0
    # The last line may go on, but not where the object ends.
    last = len(text) if end == item.size else text.rfind(b"\n") + 1
    return text[first:last], len(text) / taken if taken else 1.0


def _parsed(row: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(row)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _sent(row: bytes) -> int:
    """Bytes of a row with its values as the shortest text of the same float32."""
    try:
        values = np.array(_parsed(row)["values"], np.float64).astype(np.float32)
        short = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    except (KeyError, TypeError, ValueError):
        return len(row)
    return min(len(row), len(row) - (row.find(b"]") + 1 - row.find(b"[")) + len(short))
