"""Hash what a row means, so that a sync can tell whether a vector has changed.

The hash covers the values as float32, the namespace and the metadata with sorted keys. It never covers the text of the
line, because writers of the same data spell numbers, keys and spaces differently from night to night.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import orjson

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.rows.parsing import RowParser

#: Version of the definition of the hash. A state with another version does not know the content of its vectors.
HASH_VERSION = 1
#: Hash of a vector whose content in the index is unknown. No row has this hash.
UNKNOWN = 0
#: Metadata that is nested deeper than this is hashed as it is written.
DEPTH = 64
#: Numbers from here on are not compared as floats, because not every float of this size is another integer.
EXACT_FLOAT = 2**53

_NOTHING = b'["",{}]'
_PLAIN_TYPES = frozenset({str, bool, int})
_dumps, _SORT_KEYS = orjson.dumps, orjson.OPT_SORT_KEYS


class _HashedRow(msgspec.Struct):
    """The keys of a row that its hash covers."""

    values: list[float]
    namespace: str | None = None
    metadata: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_HashedRow).decode


@cache
def stable_hash() -> Callable[[bytes | memoryview], int]:
    """Return the function that calculates a hash of 8 bytes, which is stable across processes and machines.

    :raises ConfigError: The package that calculates it is not installed.
    """
    with sync_packages():
        from xxhash import xxh3_64_intdigest  # noqa: PLC0415 - only a sync needs this package
    return xxh3_64_intdigest


@contextmanager
def sync_packages() -> Iterator[None]:
    """Import packages that only a sync needs.

    :raises ConfigError: A package is not installed.
    """
    try:
        yield
    except ImportError:
        raise ConfigError(
            "A sync needs the packages pyarrow and xxhash. Install them with "
            "pip install 'airflow-provider-vectorize[sync]'."
        ) from None


class RowHasher:
    """Calculates the hashes of rows.

    :param changed_by: The part of a row that tells whether it has changed: ``row``, or ``metadata.<key>`` for one key
        of the metadata. A row without this key is compared as a whole.
    """

    def __init__(self, changed_by: str = "row") -> None:
        self._digest = stable_hash()
        self._path = changed_by.split(".")[1:] if changed_by.startswith("metadata.") else []

    def hash(
        self, float32_values: bytes | memoryview, namespace: str | None, metadata: Mapping[str, Any] | None
    ) -> int:
        """Return the hash of a row.

        :param float32_values: Values as little-endian float32 without negative zeros.
        """
        if self._path:
            value = _value_at(metadata, self._path)
            if value is not _MISSING:
                return self._digest(canonical_json(["key", value])) or 1
        if not namespace and not metadata:
            return self._digest(float32_values) or 1
        if type(metadata) is dict and _PLAIN_TYPES.issuperset(map(type, metadata.values())):
            try:  # Flat metadata of most rows, which needs no normalization.
                others = _dumps([namespace or "", metadata], None, _SORT_KEYS)
                return self._digest(b"".join((float32_values, others))) or 1
            except TypeError:
                pass
        others = canonical_json([namespace or "", metadata or {}])
        return self._digest(float32_values if others == _NOTHING else b"".join((float32_values, others))) or 1

    def hash_block(self, values: np.ndarray, others: Sequence[tuple[Any, Any]]) -> list[int]:
        """Return the hashes of the rows of a block.

        :param values: Values of all rows as float32.
        :param others: Namespace and metadata of each row.
        """
        step = 4 * (values.size // len(others))
        raw = _as_hashed(values).reshape(-1).view(np.uint8).data
        return [
            self.hash(raw[start : start + step], namespace, metadata)
            for start, (namespace, metadata) in zip(range(0, len(raw), step), others, strict=True)
        ]

    def hash_line(self, line: bytes) -> int:
        """Return the hash of a row that was checked before.

        :raises msgspec.DecodeError: The line is not a valid row.
        """
        row = _decode(line)
        return self.hash_vector(row.values, row.namespace, row.metadata)

    def hash_vector(self, values: Sequence[float], namespace: str | None, metadata: Mapping[str, Any] | None) -> int:
        """Return the hash of a vector, for instance of one that was read from the index."""
        with np.errstate(over="ignore"):
            return self.hash(float32_bytes(np.array(values, np.float64)), namespace, metadata)

    def hash_lines(self, body: bytes, ends: Sequence[int]) -> list[int]:
        """Return the hashes of the rows in a body. Only blocks that are checked line by line need this."""
        return [self.hash_line(body[start:end]) for start, end in pairwise((0, *ends))]


def float32_bytes(values: np.ndarray) -> bytes:
    """Return values as little-endian float32. Negative zeros become zeros."""
    return _as_hashed(values).tobytes()


def _as_hashed(values: np.ndarray) -> np.ndarray:
    return (values.astype("<f4", copy=False) + np.float32(0)).astype("<f4", copy=False)


def canonical_json(value: Any) -> bytes:
    """Return JSON that is equal for values with the same meaning: 1 equals 1.0, and a null key equals a missing one."""
    with suppress(RecursionError):  # If it is nested too deeply, the value stays as it is written.
        value = _normalize(value, DEPTH)
    try:
        return _dumps(value, None, _SORT_KEYS)
    except TypeError:  # A number beyond 64 bits, or nested deeper than orjson allows.
        return json.dumps(value, sort_keys=True).encode()


def _normalize(value: Any, depth: int) -> Any:
    if depth < 0:
        raise RecursionError
    kind = type(value)
    if kind is str or kind is bool or kind is int:
        return value
    if kind is float:
        return int(value) if value.is_integer() and abs(value) < EXACT_FLOAT else value
    if isinstance(value, Mapping):
        return {key: _normalize(item, depth - 1) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_normalize(item, depth - 1) for item in value]
    return value


def is_comparable(metadata: Mapping[str, Any] | None) -> bool:
    """Return whether metadata that the index returns certainly has the same hash as the metadata that was sent.

    It may not if it is nested very deep, or has numbers that JavaScript cannot represent exactly.
    """
    return _is_comparable(metadata or {}, DEPTH)


def _is_comparable(value: Any, depth: int) -> bool:
    if isinstance(value, Mapping):
        return depth > 0 and all(_is_comparable(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_comparable(item, depth - 1) for item in value)
    return isinstance(value, (str, bool)) or value is None or abs(value) < EXACT_FLOAT


_MISSING: Any = object()


def _value_at(metadata: Mapping[str, Any] | None, path: Sequence[str]) -> Any:
    value: Any = metadata
    for key in path:
        if not isinstance(value, Mapping) or value.get(key) is None:
            return _MISSING
        value = value[key]
    return value


class HashingRowParser(RowParser):
    """A parser that also keeps namespace and metadata of each row of the last block, for its hash."""

    def __init__(self, dimensions: int, limits: Limits) -> None:
        super().__init__(dimensions, limits)
        self.others: list[tuple[Any, Any]] = []

    def parse(self, data: bytes, ends: list[int]) -> Any:
        """Return the rows of a block, see :meth:`RowParser.parse`."""
        self.others = []
        return super().parse(data, ends)

    def _other_keys(self, rows: list[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        namespaces, metadata = super()._other_keys(rows)
        nothing = [None] * len(rows)
        self.others += [
            (namespace, None if item is None else item.as_dict())
            for namespace, item in zip(namespaces or nothing, metadata or nothing, strict=True)
        ]
        return namespaces, metadata
