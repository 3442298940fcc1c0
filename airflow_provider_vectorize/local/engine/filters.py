"""Metadata filters: which operators there are, and the in-memory columns that they look at."""

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
    """One operator on one property. Several of them are AND."""

    name: str
    operator: str
    operand: Any

    def converted(self, type_: str) -> Condition:
        """Return the same condition with its operand as a metadata index of a type compares it."""
        if isinstance(self.operand, list):
            return replace(self, operand=[convert(one, type_) for one in self.operand])
        return replace(self, operand=convert(self.operand, type_))

    def holds(self, value: Scalar) -> bool:
        return OPERATORS[self.operator](value, self.operand)


def convert(value: Any, type_: str) -> Scalar:
    """Return a value as the type of a metadata index, or None where it has no such value: then it equals nothing.

    ========  ============================  =======================  =======================
    index     a string                      a number                 a boolean
    ========  ============================  =======================  =======================
    string    the string                    its text, ``10``         ``true`` or ``false``
    number    the number, if it spells one  the number as float64    none
    boolean   if ``true`` or ``false``      none                     the boolean
    ========  ============================  =======================  =======================

    Null is none everywhere.
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


# Both sides have been converted to the type of the metadata index.
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
    """Return what a metadata index keeps of a vector, or None if the property is absent or of another type.

    Only a string index takes values of other types, as their text.
    """
    value = lookup(metadata, index.name)
    if index.type != "string" and isinstance(value, str):
        return None
    kept = convert(value, index.type)
    return cut(kept, string_bytes) if isinstance(kept, str) else kept


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
        typed = condition.converted(self.index.type)
        verdicts = np.fromiter((typed.holds(value) for value in self._values), np.bool_, len(self._values))
        verdicts[UNCOVERED] = False
        return verdicts[self._codes]
