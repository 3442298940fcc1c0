"""Metadata filters: operators, and the in-memory columns that they are evaluated on."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from airflow_provider_vectorize.local.engine.records import Json, MetadataIndex

Scalar = str | float | bool | None
UNCOVERED, ABSENT = 0, 1
EXACT_INTEGERS = 2**53
JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one property. A vector must meet all conditions of a filter."""

    name: str
    operator: str
    operand: Any

    def converted(self, type_: str) -> Condition:
        """Return the condition with its operand converted to the type of a metadata index."""
        if isinstance(self.operand, list):
            return replace(self, operand=[convert(element, type_) for element in self.operand])
        return replace(self, operand=convert(self.operand, type_))

    def holds(self, value: Scalar) -> bool:
        return OPERATORS[self.operator](value, self.operand)


def convert(value: Any, type_: str) -> Scalar:
    """Convert a value to the type of a metadata index. Return None if there is no such value: None equals nothing.

    =======  ==================================  =====================  =====================
    type     string value                        number value           boolean value
    =======  ==================================  =====================  =====================
    string   the string                          its text, ``10``       ``true`` or ``false``
    number   the number that the text spells     the number as float64  None
    boolean  ``true`` and ``false`` as booleans  None                   the boolean
    =======  ==================================  =====================  =====================

    Null becomes None for every type.
    """
    match type_:
        case "string":
            return _as_string(value)
        case "number":
            return _as_number(value)
        case _:
            return _as_boolean(value)


def _as_string(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if value == int(value) and abs(value) < EXACT_INTEGERS else repr(value)
    return value if isinstance(value, str) else None


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and not JSON_NUMBER.fullmatch(value):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _as_boolean(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value)
    return value if isinstance(value, bool) else None


def _equal(value: Scalar, other: Scalar) -> bool:
    return value is not None and value == other


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Scalar, Any], bool]:
    def holds(value: Scalar, other: Any) -> bool:
        return value is not None and other is not None and not isinstance(value, bool) and compare(value, other)

    return holds


# The operators compare values that have been converted to the type of the metadata index.
OPERATORS: dict[str, Callable[[Scalar, Any], bool]] = {
    "$eq": _equal,
    "$ne": lambda value, other: not _equal(value, other),
    "$in": lambda value, others: any(_equal(value, other) for other in others),
    "$nin": lambda value, others: not any(_equal(value, other) for other in others),
    "$lt": _ordered(operator.lt),
    "$lte": _ordered(operator.le),
    "$gt": _ordered(operator.gt),
    "$gte": _ordered(operator.ge),
}


def truncate(text: str, max_bytes: int) -> str:
    """Truncate a text to a number of bytes in UTF-8, between two characters."""
    return text.encode()[:max_bytes].decode(errors="ignore")


def flatten(filter_: Json, prefix: str = "") -> list[Condition]:
    """Convert a valid filter to a list of conditions. Nested objects become dotted names."""
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
    """Return the value of a dotted name in nested metadata, or None if it does not exist."""
    for part in name.split("."):
        if not isinstance(metadata, dict):
            return None
        metadata = metadata.get(part)
    return metadata


def indexed_value(metadata: Any, index: MetadataIndex, string_bytes: int) -> Scalar:
    """Return the value that a metadata index stores for a vector, or None if the property is missing.

    A string index also stores numbers and booleans, as text. For the other types, a value of a different type counts
    as missing. Strings are truncated to ``string_bytes``.
    """
    value = lookup(metadata, index.name)
    if index.type != "string" and isinstance(value, str):
        return None
    stored = convert(value, index.type)
    return truncate(stored, string_bytes) if isinstance(stored, str) else stored


class Column:
    """One metadata index in memory: a code for each slot, and a value for each code."""

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
        """Return a mask of the slots that the metadata index covers and that meet the condition."""
        typed = condition.converted(self.index.type)
        code_matches = np.fromiter((typed.holds(value) for value in self._values), np.bool_, len(self._values))
        code_matches[UNCOVERED] = False
        return code_matches[self._codes]
