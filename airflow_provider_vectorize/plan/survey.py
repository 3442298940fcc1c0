"""Survey a source: estimate its rows and its text from a few small reads."""

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

#: Number of reads, and bytes of each read.
READS = 16
READ_BYTES = 256 << 10
#: Bytes of a read of a compressed object. More are needed there, because its text is known only in whole blocks.
COMPRESSED_READ_BYTES = 1 << 20
#: Maximum bytes of text that are decompressed from the beginning of an object.
MAX_TEXT_BYTES = 16 << 20
#: Values are rewritten if that leaves at most this share of the text, as the load does with ``float32_text="auto"``.
MAX_REWRITTEN_SHARE = 0.9


class SurveyedObject(Protocol):
    """An object from which a survey can read."""

    @property
    def uri(self) -> str: ...

    @property
    def key(self) -> str:
        """Return the key, whose suffix names the compression."""
        ...

    @property
    def encoding(self) -> str:
        """Return the content encoding from the store's metadata, or an empty text. May ask the store, once."""
        ...

    @property
    def name(self) -> str:
        """Return the name by which a load finds the object, with its connection."""
        ...

    def name_of_part(self, part: Part) -> str:
        """Return the name by which a load finds a part of this version of the object."""
        ...

    @property
    def size(self) -> int | None: ...

    def read(self, start: int, end: int) -> bytes:
        """Read the stored bytes from ``start`` to before ``end``."""
        ...


@dataclass(frozen=True)
class Survey:
    """The result of a survey.

    :param rows: Whole rows from all over the source.
    :param row_bytes: The average bytes of a row, with its newline and its share of the blank lines.
    :param text_ratios: For each object, the bytes of text per stored byte. 1 if it is not compressed.
    """

    rows: tuple[bytes, ...]
    row_bytes: float
    text_ratios: tuple[float, ...]

    def ids(self, count: int) -> list[str]:
        """Return up to ``count`` distinct IDs from all over the source. Bad rows are skipped."""
        ids: dict[str, None] = {}
        for number in range(count):
            row = _parse_row(self.rows[len(self.rows) * number // count])
            if isinstance(row.get("id"), str):
                ids.setdefault(row["id"])
        return list(ids)

    @cached_property
    def sent_share(self) -> float:
        """Return the share of the text that is sent: less than 1 if values are rewritten as float32 text."""
        before = sum(map(len, self.rows))
        after = sum(map(_sent_bytes, self.rows))
        return after / before if after <= MAX_REWRITTEN_SHARE * before else 1.0


def survey(objects: Sequence[SurveyedObject]) -> Survey:
    """Read a little at some offsets, spread evenly over the source's bytes.

    :param objects: The source, in order.
    :raises SourceError: An object cannot be read, or none of the reads contains a row.
    """
    rows: list[bytes] = []
    text_bytes = 0
    ratios: dict[int, float] = {}
    for number, offset in _read_offsets([(known.size or 0, not is_compressed(known.key)) for known in objects]):
        lines, ratios[number] = _read_lines(objects[number], offset)
        rows += [line for line in lines.split(b"\n") if line.strip()]
        text_bytes += len(lines)
    if not rows:
        names = objects[0].uri + (f" and {len(objects) - 1} more" if len(objects) > 1 else "")
        raise SourceError(
            f"The source is empty or not ndjson: the reads of {names} found no rows. Nothing was planned.",
            uri=objects[0].uri,
        )
    mean = {compressed: _mean_ratio(objects, ratios, compressed) for compressed in (False, True)}
    return Survey(
        tuple(rows),
        text_bytes / len(rows),
        tuple(ratios.get(number, mean[is_compressed(known.key)]) for number, known in enumerate(objects)),
    )


def _read_offsets(objects: Sequence[tuple[int, bool]]) -> list[tuple[int, int]]:
    """Return object numbers and offsets, spread evenly over all bytes of the source, each once.

    :param objects: The size of each object, and whether its middle can be read. Otherwise its beginning is read.
    """
    total, offsets = sum(size for size, _ in objects), []
    count = min(READS, -(-total // READ_BYTES))
    for n in range(count):
        offset = total * n // count
        for number, (size, anywhere) in enumerate(objects):
            if offset < size:
                offsets.append((number, offset if anywhere else 0))
                break
            offset -= size
    return list(dict.fromkeys(offsets))


def _mean_ratio(objects: Sequence[SurveyedObject], ratios: Mapping[int, float], compressed: bool) -> float:
    """Return the mean ratio of the objects that were read and whose keys do, or do not, name a compression."""
    matching = [ratio for number, ratio in ratios.items() if is_compressed(objects[number].key) == compressed]
    return sum(matching) / len(matching) if matching else 1.0


def _read_lines(surveyed: SurveyedObject, offset: int) -> tuple[bytes, float]:
    """Return the whole lines after an offset of an object, and its bytes of text per stored byte."""
    compressed = is_compressed(surveyed.key, surveyed.encoding)
    offset = 0 if compressed else offset
    end = min(offset + (COMPRESSED_READ_BYTES if compressed else READ_BYTES), surveyed.size or 0)
    with raise_source_errors(surveyed.uri):
        stored = surveyed.read(offset, end)
        if not offset and not compressed:
            refuse_compressed(stored[:4], surveyed.uri)
        text, consumed = decompressed_beginning(stored, surveyed.key, MAX_TEXT_BYTES, encoding=surveyed.encoding)
    first = (text.find(b"\n") + 1 or len(text)) if offset else 0
    # The last line may be incomplete, unless the object ends with it.
    last = len(text) if end == surveyed.size else text.rfind(b"\n") + 1
    return text[first:last], len(text) / consumed if consumed else 1.0


def _parse_row(row: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(row)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _sent_bytes(row: bytes) -> int:
    """Return the bytes of a row with its values as the shortest text of the same float32."""
    try:
        values = np.array(_parse_row(row)["values"], np.float64).astype(np.float32)
        short = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    except (KeyError, TypeError, ValueError):
        return len(row)
    return min(len(row), len(row) - (row.find(b"]") + 1 - row.find(b"[")) + len(short))
