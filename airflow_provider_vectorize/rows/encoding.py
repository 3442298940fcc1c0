"""Encode rows from Python as ndjson: one encoder for functions that yield rows and for the hook's writes."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from airflow_provider_vectorize.rows.float32 import rounds_twice

_NON_FINITE_WORD = re.compile(rb"NaN|Infinity")


class EncodingError(ValueError):
    """A row cannot be written as JSON. The message names the place in the row and the reason."""


def encode_row(row: Mapping[str, Any], *, keep_nan: bool = False) -> bytes:
    """Return a row as one line of ndjson.

    NumPy arrays and scalars of every layout, byte order and float size become numbers, in ``values`` and in the
    metadata. So do objects with ``tolist()`` or ``__array__()`` (pandas, PyArrow, PyTorch, JAX). ``Decimal``
    becomes the nearest float64. ``datetime``, ``date``, ``time`` and ``numpy.datetime64`` become ISO 8601 text,
    ``UUID`` its text, an ``Enum`` its value, a dataclass an object. Everything else (bytes, sets, masked arrays,
    complex numbers, timedeltas, keys that are not strings) is refused.

    :param keep_nan: Whether to write NaN and infinities as ``NaN`` and ``Infinity``. These are not JSON, so a load
        rejects the row like any other bad row.
    :raises EncodingError: The row contains a value that is refused or, without ``keep_nan``, a NaN or an infinity.
    """
    try:
        text = orjson.dumps(row, default=_numpy_text, option=orjson.OPT_APPEND_NEWLINE)
        # orjson writes NaN and the infinities as null, silently.
        if b"null" not in text or _is_finite(row):
            return text
    except TypeError:
        pass  # The slow path converts what orjson cannot, or reports what is wrong.
    try:
        return json.dumps(_convert(row, "", keep_nan)).encode() + b"\n"
    except RecursionError:
        raise EncodingError("it is nested too deeply") from None


def non_finite_place(text: bytes) -> str | None:
    """Name the first NaN or infinity in JSON text from Python's ``json``, such as ``values[3] is NaN``, or ``None``."""
    if not _NON_FINITE_WORD.search(text):
        return None
    try:
        _convert(json.loads(text), "", keep_nan=False)
    except EncodingError as error:
        return str(error)
    except (ValueError, RecursionError):
        pass  # The text is invalid for another reason.
    return None


def request_bodies(rows: Iterable[bytes], max_rows: int, max_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Join lines into request bodies, in order, and yield each with its number of lines.

    :param rows: Lines, each with its newline.
    :param max_rows: Maximum number of lines in a request.
    :param max_bytes: Maximum size of a request in bytes. A longer line is sent alone, so that Vectorize refuses it.
    """
    lines: list[bytes] = []
    size = 0
    for line in rows:
        if lines and (len(lines) == max_rows or size + len(line) > max_bytes):
            yield b"".join(lines), len(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    yield b"".join(lines), len(lines)


def _numpy_text(value: Any) -> orjson.Fragment:
    """Encode an array or a scalar of finite numbers. Float32 values get their shortest text if no value rounds twice.

    :raises TypeError: The value is of another type, which the slow path converts or reports.
    """
    if (type(value) is not np.ndarray and not isinstance(value, np.generic)) or value.dtype.kind not in "biuf":
        raise TypeError
    if value.dtype.itemsize > 8 or (value.dtype.kind == "f" and not np.isfinite(value).all()):
        raise TypeError
    if value.ndim:  # orjson accepts only this layout and byte order.
        value = np.ascontiguousarray(value, value.dtype.newbyteorder("="))
    elif isinstance(value, np.ndarray):
        value = value[()]
    if value.dtype == np.float32 and rounds_twice(value):
        value = value.astype(np.float64)
    return orjson.Fragment(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


def _is_finite(value: Any) -> bool:
    """Return whether a value certainly contains neither NaN nor an infinity."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_finite, value))
    # Arrays and scalars of NumPy were checked when they were encoded.
    return value is None or isinstance(value, (str, int, np.ndarray, np.generic, datetime, date, time, UUID))


def _convert(value: Any, place: str, keep_nan: bool) -> Any:
    """Convert a value to types that Python's ``json`` can write.

    :param place: Place of the value in the row, for the error.
    """
    try:
        simple = _to_json_type(value)
    except _UnsupportedError as error:
        raise EncodingError(f"{place or 'it'} is {error}") from None
    if isinstance(simple, dict):
        return {_key(key, place): _convert(item, _inside(place, key), keep_nan) for key, item in simple.items()}
    if isinstance(simple, list):
        return [_convert(item, f"{place}[{number}]", keep_nan) for number, item in enumerate(simple)]
    if isinstance(simple, float) and not keep_nan and not math.isfinite(simple):
        raise EncodingError(f"{place or 'it'} is {'NaN' if math.isnan(simple) else 'infinite'}")
    return simple


class UnreadableValue:
    """Stands for a value of a source that Python cannot hold.

    :param reason: Why it cannot be converted.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return self.reason


class _UnsupportedError(Exception):
    """A value cannot be converted. The message describes the value."""


def _to_json_type(value: Any) -> Any:
    """Convert a value, but not its items, to a JSON type."""
    for types, convert in _CONVERSIONS:
        if isinstance(value, types):
            return convert(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if not isinstance(value, (type, memoryview)):
        if hasattr(value, "tolist"):
            return _to_json_type(value.tolist())
        if hasattr(value, "__array__"):
            return _to_json_type(np.asarray(value))
        if hasattr(value, "as_py"):
            return _to_json_type(value.as_py())
    return _refuse_type(value)


def _refuse_type(value: Any) -> None:
    if isinstance(value, UnreadableValue):
        raise _UnsupportedError(f"not readable: {value.reason}")
    raise _UnsupportedError(f"of type {type(value).__name__}, which JSON does not support")


def _time_text(value: date | time) -> str | float:
    """Convert a time to ISO 8601. ``pandas.NaT`` is an instance of ``date`` and is not equal to itself."""
    itself = value
    return value.isoformat() if value == itself else math.nan


def _numpy_time_text(value: np.datetime64) -> str | float:
    return math.nan if np.isnat(value) else orjson.loads(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


def _array_items(value: np.ndarray) -> Any:
    if value.dtype.kind == "f":
        value = value.astype(np.float64)  # tolist() does not convert a longdouble.
    if value.dtype.kind in "biufU":
        return value.tolist()
    if value.dtype.kind in "MO":  # tolist() converts times in nanoseconds to integers.
        return list(value) if value.ndim else _to_json_type(value[()])
    raise _UnsupportedError(f"of type array of {value.dtype}, which JSON does not support")


def _refuse_masked(_: np.ma.MaskedArray[Any, Any]) -> None:
    raise _UnsupportedError("a masked array: fill or remove the masked items")


#: Conversions by type. The first type that matches is used.
_CONVERSIONS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: _to_json_type(value.value)),
    (str, str),
    ((bool, type(None)), lambda value: value),
    (int, int),
    ((float, np.floating, Decimal), float),
    (Mapping, dict),
    ((list, tuple), list),
    ((date, time), _time_text),
    (UUID, str),
    (np.datetime64, _numpy_time_text),
    (np.timedelta64, _refuse_type),  # It is a subclass of np.integer.
    ((np.integer, np.bool_), lambda value: value.item()),
    (np.ma.MaskedArray, _refuse_masked),
    (np.ndarray, _array_items),
)


def _key(key: Any, place: str) -> str:
    if not isinstance(key, str):
        raise EncodingError(f"{place or 'it'} has the key {key!r}, but keys of JSON are strings")
    return str(key)


def _inside(place: str, key: Any) -> str:
    return f"{place}[{json.dumps(key)}]" if place and isinstance(key, str) else str(key)
