"""The body of an insert or upsert: from bytes to checked vectors, all or nothing."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from . import checks
from .limits import Limits
from .problems import BadMetadataKey, OversizedMetadata, Problem, TooManyVectors, UnparsableLine, WrongDimensions
from .records import Json, Vector

assert array("f").itemsize == 4


def lines(body: bytes | bytearray) -> Iterator[tuple[int, memoryview]]:
    """The lines that are not blank, with their numbers from 0.

    Only the byte ``\\n`` ends a line: other line separators of Unicode are legal inside a JSON string.
    """
    view = memoryview(body)
    start = number = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        # A blank line is short, so only short ones are copied to look at them.
        if end - start > 64 or bytes(view[start:end]).strip():
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
        try:
            vectors.append(_check(*parsed, dimensions, limits))
        except Problem as problem:
            broken = broken or problem
    if len(vectors) > limits.vectors_per_request:
        raise TooManyVectors(limits.vectors_per_request, len(vectors))
    if broken is not None:
        raise broken
    return vectors


def _parse_line(line: memoryview) -> tuple[str, str | None, Json | None, bytes, int] | None:
    """Id, namespace, metadata, float32 values and their number; None when the line is not of that form."""
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if type(parsed) is not dict:
        return None
    vector_id, namespace, metadata = parsed.get("id"), parsed.get("namespace"), parsed.get("metadata")
    values = parsed.get("values")
    if type(vector_id) is not str or not (namespace is None or type(namespace) is str):
        return None
    if not (metadata is None or type(metadata) is dict):
        return None
    if type(values) is not list or not checks.NUMBERS.issuperset(map(type, values)):
        return None
    packed = array("f", values)
    if not np.isfinite(np.frombuffer(packed, np.float32)).all():  # too large for float32
        return None
    return vector_id, namespace, metadata, packed.tobytes(), len(values)


def _check(
    vector_id: str,
    namespace: str | None,
    metadata: Json | None,
    values: bytes,
    size: int,
    dimensions: int,
    limits: Limits,
) -> Vector:
    checks.vector_id(vector_id, limits)
    if size != dimensions:
        raise WrongDimensions(vector_id, dimensions, size)
    if namespace is not None:
        checks.namespace(namespace, limits)
    packed = None
    if metadata is not None:
        _check_keys(vector_id, metadata)
        packed = orjson.dumps(metadata)
        if len(packed) > limits.metadata_bytes:
            raise OversizedMetadata(vector_id, limits.metadata_bytes, len(packed))
    return Vector(vector_id, namespace, packed, values)


def _check_keys(vector_id: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if checks.bad_key(key):
                raise BadMetadataKey(vector_id, key)
            _check_keys(vector_id, inner)
