"""Parser for the body of an insert or upsert. It returns valid vectors, or raises for the whole body."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from airflow_provider_vectorize.local.engine.data_problems import (
    BadMetadataKey,
    OversizedMetadata,
    TooManyVectors,
    UnparsableLine,
    WrongDimensions,
)
from airflow_provider_vectorize.local.engine.filter_checks import is_bad_key
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.problems import Problem
from airflow_provider_vectorize.local.engine.records import Json, Vector
from airflow_provider_vectorize.local.http import checks

BLANK_CHECK_BYTES = 64


def lines(body: bytes | bytearray) -> Iterator[tuple[int, memoryview]]:
    """Yield the lines that are not blank, with their numbers from 0.

    Only the byte ``\\n`` ends a line. Other line separators of Unicode are valid in a JSON string.
    """
    view = memoryview(body)
    start = number = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        # The first bytes usually show that a line is not blank, so that long lines need not be copied.
        if bytes(view[start : min(end, start + BLANK_CHECK_BYTES)]).strip() or bytes(view[start:end]).strip():
            yield number, view[start:end]
        start, number = end + 1, number + 1


def parse(body: bytes | bytearray, *, operation: str, dimensions: int, discard: bool, limits: Limits) -> list[Vector]:
    """Return the vectors of a body in order.

    A vector that violates a limit raises its Problem after all lines were parsed, with or without ``discard``.

    :param discard: Skip lines that are not a vector.
    :raises UnparsableLine: A line is not a vector, and ``discard`` is false.
    """
    vectors: list[Vector] = []
    first_problem: Problem | None = None
    for number, line in lines(body):
        parsed = _parse_line(line)
        if parsed is None:
            if not discard:
                raise UnparsableLine(operation, number)
            continue
        vectors.append(parsed[0])
        try:
            _check(*parsed, dimensions, limits)
        except Problem as problem:
            first_problem = first_problem or problem
    if len(vectors) > limits.vectors_per_request:
        raise TooManyVectors(limits.vectors_per_request, len(vectors))
    if first_problem is not None:
        raise first_problem
    return vectors


def _parse_line(line: memoryview) -> tuple[Vector, Json] | None:
    """Return a vector and its metadata as an object, or None if the line is not a vector."""
    try:
        parsed = orjson.loads(line)
        vector_id, values = parsed["id"], parsed["values"]
        namespace, metadata = parsed.get("namespace"), parsed.get("metadata")
        # This raises JSONEncodeError if the metadata is nested too deeply.
        packed_metadata = None if metadata is None else orjson.dumps(metadata)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, TypeError, KeyError, AttributeError):
        return None
    packed = _pack(values)
    if packed is None or type(vector_id) is not str:
        return None
    if not isinstance(namespace, str | None) or not isinstance(metadata, dict | None):
        return None
    return Vector(vector_id, namespace, packed_metadata, packed), metadata or {}


def _pack(values: object) -> bytes | None:
    """Return a JSON array of numbers as float32 bytes, or None if it is not one or a number exceeds float32."""
    if type(values) is not list or not checks.NUMBERS.issuperset(map(type, values)):
        return None
    packed = array("f", values)
    return packed.tobytes() if np.isfinite(np.frombuffer(packed, np.float32)).all() else None


def _check(vector: Vector, metadata: Json, dimensions: int, limits: Limits) -> None:
    checks.vector_id(vector.id, limits)
    if (actual := len(vector.values or b"") // 4) != dimensions:
        raise WrongDimensions(vector.id, dimensions, actual)
    if vector.namespace is not None:
        checks.namespace(vector.namespace, limits)
    _check_keys(vector.id, metadata)
    if (size := len(vector.metadata or b"")) > limits.metadata_bytes:
        raise OversizedMetadata(vector.id, limits.metadata_bytes, size)


def _check_keys(vector_id: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if is_bad_key(key):
                raise BadMetadataKey(vector_id, key)
            _check_keys(vector_id, inner)
