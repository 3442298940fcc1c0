"""Survey a source: estimate its rows and its text from a few small reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import orjson

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.plan.footers import Footer
from airflow_provider_vectorize.rows.checks import RowProblem
from airflow_provider_vectorize.rows.dead_letter_rows import row_in_dead_letter
from airflow_provider_vectorize.rows.mapped_rows import map_dead_letter, map_row
from airflow_provider_vectorize.sources.compression import (
    decompressed_beginning,
    is_compressed,
    raise_source_errors,
    refuse_compressed,
)
from airflow_provider_vectorize.sources.fields import DEFAULT_FIELDS, Fields
from airflow_provider_vectorize.sources.formats import refuse_parquet
from airflow_provider_vectorize.sources.parts import Part
from airflow_provider_vectorize.sources.source_object import SourceObject

#: Number of reads, and bytes of each read.
READS = 16
READ_BYTES = 256 << 10
#: Bytes of a read of a compressed object. More are needed there, because its text is known only in whole blocks.
COMPRESSED_READ_BYTES = 1 << 20
#: Maximum bytes of text that are decompressed from the beginning of an object.
MAX_TEXT_BYTES = 16 << 20
#: Values are rewritten if that leaves at most this share of the text, as the load does with ``float32_text="auto"``.
MAX_REWRITTEN_SHARE = 0.9


class SurveyedObject(SourceObject, Protocol):
    """An object that a plan can name, whole or in parts."""

    @property
    def name(self) -> str:
        """Return the name by which a load finds the object, with its connection."""
        ...

    def name_of_part(self, part: Part) -> str:
        """Return the name by which a load finds a part of this version of the object."""
        ...


@dataclass(frozen=True)
class Survey:
    """The result of a survey.

    :param rows: Whole rows from all over the source.
    :param row_bytes: The average bytes of a row, with its newline and its share of the blank lines.
    :param text_ratios: For each object, the bytes of text per stored byte. 1 if it is not compressed. Empty for
        Parquet.
    :param mapped_rows: The rows in the format of Vectorize, without those that ``fields`` does not fit. ``None`` if
        they have this format already.
    :param mapped_share: The bytes of the mapped rows per byte of the rows from which they were made.
    :param row_counts: For each Parquet object, the number of its rows, from its footer or estimated.
    :param footers: The footers of Parquet objects that were read, by the number of the object. ``None`` for ndjson.
    """

    rows: tuple[bytes, ...]
    row_bytes: float
    text_ratios: tuple[float, ...]
    mapped_rows: tuple[bytes, ...] | None = None
    mapped_share: float = 1.0
    row_counts: tuple[float, ...] = ()
    footers: dict[int, Footer] | None = None

    def ids(self, count: int) -> list[str]:
        """Return up to ``count`` distinct IDs from all over the source. Bad rows are skipped."""
        rows = self._vector_rows
        ids: dict[str, None] = {}
        for number in range(count if rows else 0):
            row = _parse_row(rows[len(rows) * number // count])
            if isinstance(row.get("id"), str):
                ids.setdefault(row["id"])
        return list(ids)

    @cached_property
    def sent_share(self) -> float:
        """Return the share of the text that is sent: less than 1 if values are rewritten as float32 text."""
        before = sum(map(len, self._vector_rows))
        after = sum(map(_sent_bytes, self._vector_rows))
        return self.mapped_share * (after / before if after <= MAX_REWRITTEN_SHARE * before else 1.0)

    def text_sizes(self, objects: Sequence[SurveyedObject]) -> list[int]:
        """Return the bytes of text of each object, known or estimated."""
        if self.footers is not None:
            return [round(rows * self.row_bytes) for rows in self.row_counts]
        sizes = [surveyed.size or 0 for surveyed in objects]
        return [math.ceil(size * ratio) for size, ratio in zip(sizes, self.text_ratios, strict=True)]

    def count_rows(self, text_bytes: int) -> int:
        """Return the number of rows of the source.

        :param text_bytes: Bytes of its text.
        """
        return round(text_bytes / self.row_bytes if self.footers is None else sum(self.row_counts))

    @property
    def _vector_rows(self) -> tuple[bytes, ...]:
        return self.rows if self.mapped_rows is None else self.mapped_rows


def survey(objects: Sequence[SurveyedObject], fields: Fields = DEFAULT_FIELDS) -> Survey:
    """Read a little at some offsets, spread evenly over the bytes of a source of ndjson.

    :param objects: The source, in order.
    :param fields: Which fields of a row become the fields of a vector.
    :raises SourceError: An object cannot be read, none of the reads contains a row, or ``fields`` fits none of them.
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
    mapped_rows, mapped_share = (None, 1.0) if fields.is_default else _map_rows(rows, fields, objects[0].uri)
    return Survey(
        tuple(rows),
        text_bytes / len(rows),
        tuple(ratios.get(number, mean[is_compressed(known.key)]) for number, known in enumerate(objects)),
        mapped_rows,
        mapped_share,
    )


def _map_rows(rows: Sequence[bytes], fields: Fields, uri: str) -> tuple[tuple[bytes, ...], float]:
    """Return the rows in the format of Vectorize, and their bytes per byte of the rows from which they were made.

    :raises SourceError: ``fields`` fits none of the rows.
    """
    mapped_rows: list[bytes] = []
    bytes_read, problem = 0, ""
    for row in rows:
        try:
            letter = row_in_dead_letter(row)
            mapped = map_dead_letter(letter.text, fields) if letter else map_row(row, fields)
            mapped_rows.append(mapped + b"\n")
            bytes_read += len(row) + 1
        except (RowProblem, ValueError, RecursionError) as error:
            problem = problem or str(error)
    if not mapped_rows:
        raise SourceError(
            f"None of the {len(rows):,} rows that were read from all over the source fits fields: {problem}. The first "
            f"object is {uri}. Correct fields, here and in the load. Nothing was planned.",
            uri=uri,
            permanent=True,
        )
    return tuple(mapped_rows), sum(map(len, mapped_rows)) / bytes_read


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
        if not offset:
            refuse_parquet(text[:4], surveyed.uri)
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
