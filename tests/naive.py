"""A simple reference reader of ndjson: the standard library, line by line, all in memory."""

from __future__ import annotations

import json
import math
import struct
from typing import Any, NamedTuple

BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line that is not blank."""

    number: int
    offset: int
    text: bytes
    id: str | None
    """Id of the vector, or ``None`` if the row is bad."""


def read(data: bytes, dimensions: int) -> list[Line]:
    """Return the lines of an object that are not blank."""
    lines, offset = [], 0
    for number, raw in enumerate(data.split(b"\n"), 1):
        shift = len(BOM) if offset == 0 and raw.startswith(BOM) else 0
        text = raw[shift:].strip(b" \t\r")
        if text:
            lines.append(Line(number, offset + shift, text, vector_id(text, dimensions)))
        offset += len(raw) + 1
    return lines


def vector_id(text: bytes, dimensions: int) -> str | None:
    """Return the id of a row, or ``None`` if the row is bad."""
    try:
        row = json.loads(text.decode(), parse_constant=_refuse)
        json.dumps(row, ensure_ascii=False).encode()  # Raises for a lone surrogate.
        is_good = (
            isinstance(row, dict)
            and _is_finite(row)
            and isinstance(row["id"], str)
            and len(row["id"].encode()) <= 64
            and isinstance(row["values"], list)
            and len(row["values"]) == dimensions
            and all(type(value) in (int, float) for value in row["values"])
            and struct.pack(f"<{dimensions}f", *row["values"])
            and _is_namespace(row.get("namespace"))
            and _is_metadata(row.get("metadata"))
        )
    except (ValueError, KeyError, OverflowError):
        return None
    return row["id"] if is_good else None


def _refuse(name: str) -> None:
    raise ValueError(name)


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _is_namespace(value: Any) -> bool:
    return value is None or (isinstance(value, str) and len(value.encode()) <= 64)


def _is_metadata(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict):
        return False
    if any(not key or key.startswith("$") or "." in key or '"' in key for key in value):
        return False
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()) <= 10_240
