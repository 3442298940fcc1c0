"""Metadata filters: which operators there are, and the in-memory columns that they look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from .records import Json, MetadataIndex

Scalar = str | float | bool | None
UNCOVERED, ABSENT = 0, 1


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one property. Several of them are AND."""

    name: str
    operator: str
    operand: Any

    def holds(self, value: Scalar) -> bool:
        return OPERATORS[self.operator](value, self.operand)


def _kind(value: object) -> str:
    # True == 1 in Python, but not in JSON.
    return (
        "boolean" if isinstance(value, bool) else "number" if isinstance(value, int | float) else type(value).__name__
    )


def _equal(value: Scalar, other: object) -> bool:
    return _kind(value) == _kind(other) and value == other


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Scalar, Any], bool]:
    return lambda value, other: value is not None and _kind(value) == _kind(other) and compare(value, other)


OPERATORS: dict[str, Callable[[Scalar, Any], bool]] = {
    "$eq": _equal,
    "$ne": lambda value, other: not _equal(value, other),
    "$in": lambda value, others: any(_equal(value, other) for other in others),
    "$nin": lambda value, others: not any(_equal(value, other) for other in others),
    "$lt": _ordered(lambda a, b: a < b),
    "$lte": _ordered(lambda a, b: a <= b),
    "$gt": _ordered(lambda a, b: a > b),
    "$gte": _ordered(lambda a, b: a >= b),
}


def cut(text: str, most: int) -> str:
    """The longest start of a text that has at most so many bytes, cut between characters."""
    return text.encode()[:most].decode(errors="ignore")


def flatten(filter_: Json, prefix: str = "") -> list[Condition]:
    """A checked filter as a list of conditions; nested objects become dotted names."""
    conditions: list[Condition] = []
    for key, value in filter_.items():
        name = prefix + key
        if not isinstance(value, dict):
            conditions.append(Condition(name, "$eq", value))
        elif any(inner.startswith("$") for inner in value):
            conditions += [Condition(name, operator, operand) for operator, operand in value.items()]
        else:
            conditions += flatten(value, name + ".")
    return conditions


def lookup(metadata: Any, name: str) -> Any:
    """The value that a dotted name points to, or None."""
    for part in name.split("."):
        if not isinstance(metadata, dict):
            return None
        metadata = metadata.get(part)
    return metadata


def indexed_value(metadata: Any, index: MetadataIndex, string_bytes: int) -> Scalar:
    """What a metadata index keeps of a vector: None when the property is absent or of another type."""
    value = lookup(metadata, index.name)
    match index.type:
        case "string":
            return cut(value, string_bytes) if isinstance(value, str) else None
        case "number":
            return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case _:
            return value if isinstance(value, bool) else None


class Column:
    """One metadata index in memory: for each slot a code, and for each code a value."""

    def __init__(self, index: MetadataIndex, slots: int, string_bytes: int) -> None:
        self.index = index
        self._string_bytes = string_bytes
        self._codes = np.zeros(slots, np.int32)
        self._values: list[Scalar] = [None, None]  # UNCOVERED, ABSENT
        self._code_of: dict[Scalar, int] = {None: ABSENT}

    def grow(self, by: int) -> None:
        self._codes = np.concatenate([self._codes, np.zeros(by, np.int32)])

    def put(self, slot: int, metadata: bytes | None, seq: int) -> None:
        if seq <= self.index.since:
            self._codes[slot] = UNCOVERED
            return
        value = indexed_value(orjson.loads(metadata) if metadata else None, self.index, self._string_bytes)
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self._values)
            self._values.append(value)
        self._codes[slot] = code

    def matches(self, condition: Condition) -> NDArray[np.bool_]:
        """For each slot, whether it is covered and the condition holds."""
        verdicts = np.fromiter((condition.holds(value) for value in self._values), np.bool_, len(self._values))
        verdicts[UNCOVERED] = False
        return verdicts[self._codes]
