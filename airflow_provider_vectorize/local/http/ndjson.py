"""The body of an insert or upsert: from bytes to checked vectors, all or nothing."""

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
from airflow_provider_vectorize.local.engine.filter_checks import bad_key
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.problems import Problem
from airflow_provider_vectorize.local.engine.records import Json, Vector
from airflow_provider_vectorize.local.http import checks

BLANK_LOOK = 64


def lines(body: bytes | bytearray) -> Iterator[tuple[int, memoryview]]:
    """The lines that are not blank, with their numbers from 0.

    Only the byte ``\\n`` ends a line: other line separators of Unicode are legal inside a JSON string.
    """
    view = memoryview(body)
    start = number = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        # Almost every line shows in its first bytes that it is not blank: long ones need not be copied.
        if bytes(view[start : min(end, start + BLANK_LOOK)]).strip() or bytes(view[start:end]).strip():
            yield number, view[start:end]
        start, number = end + 1, number + 1


def parse(body: bytes | bytearray, *, operation: str, dimensions: int, discard: bool, limits: Limits) -> list[Vector]:
    """The vectors of a body, in its order.

    A line that is no vector at all raises UnparsableLine, or is left out with ``discard``. A vector that breaks a
    rule raises its Problem either way, but only when every line has parsed.
    """
    vectors: list[Vector] = []
    broken: Problem | None = None
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
            broken = broken or problem
    if len(vectors) > limits.vectors_per_request:
        raise TooManyVectors(limits.vectors_per_request, len(vectors))
    if broken is not None:
        raise broken
    return vectors


def _parse_line(line: memoryview) -> tuple[Vector, Json] | None:
    """A vector and its metadata as an object, or None when the line is not of that form."""
    try:
        parsed = orjson.loads(line)
        vector_id, values = parsed["id"], parsed["values"]
        namespace, metadata = parsed.get("namespace"), parsed.get("metadata")
        # Fails on metadata that is nested too deeply.
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
    """The float32 bytes of a JSON array of numbers; None when it is none, or float32 cannot hold one of them."""
    if type(values) is not list or not checks.NUMBERS.issuperset(map(type, values)):
        return None
    packed = array("f", values)
    return packed.tobytes() if np.isfinite(np.frombuffer(packed, np.float32)).all() else None


def _check(vector: Vector, metadata: Json, dimensions: int, limits: Limits) -> None:
    checks.vector_id(vector.id, limits)
    if (got := len(vector.values or b"") // 4) != dimensions:
        raise WrongDimensions(vector.id, dimensions, got)
    if vector.namespace is not None:
        checks.namespace(vector.namespace, limits)
    _check_keys(vector.id, metadata)
    if (size := len(vector.metadata or b"")) > limits.metadata_bytes:
        raise OversizedMetadata(vector.id, limits.metadata_bytes, size)


def _check_keys(vector_id: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if bad_key(key):
                raise BadMetadataKey(vector_id, key)
            _check_keys(vector_id, inner)
