"""Validation of the values of the control API and the command line.

Values are typed, finite and bounded, so that no value can break the clock, a thread or a response.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_vectorize.local.engine.budget import MAX_SECONDS, Allowance

MAX_SHOWN_CHARACTERS = 80
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
LINE_BREAKS = re.compile(r"[\r\n\0]")


class BadValue(ValueError):  # noqa: N818 - the caller is at fault, not this server
    """A value is invalid. The message is a sentence that says why."""


class Field(Protocol):
    """The valid values of one field."""

    def check(self, name: str, value: Any) -> Any:
        """Return the value, or raise BadValue if it is invalid."""


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number from ``minimum`` to ``maximum``."""

    minimum: float
    maximum: float

    def check(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.minimum <= value <= self.maximum:
            raise _invalid(name, f"a number from {self.minimum:g} to {self.maximum:g}", value)
        return float(value)


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer from ``minimum`` to ``maximum``."""

    minimum: int
    maximum: int

    def check(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.minimum <= value <= self.maximum:
            raise _invalid(name, f"an integer from {self.minimum:,} to {self.maximum:,}", value)
        return value


@dataclass(frozen=True, slots=True)
class Text:
    """A string. The value of a header must not have line breaks."""

    header: bool = False

    def check(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or (self.header and LINE_BREAKS.search(value)):
            raise _invalid(name, "a string without line breaks" if self.header else "a string", value)
        return value


@dataclass(frozen=True, slots=True)
class Headers:
    """HTTP headers, as an object of strings."""

    def check(self, name: str, value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or not all(HEADER_NAME.fullmatch(key) for key in value):
            raise _invalid(name, "an object of HTTP headers", value)
        return {key: Text(header=True).check(f"{name}.{key}", header) for key, header in value.items()}


@dataclass(frozen=True, slots=True)
class AllowanceText:
    """A request budget such as ``30/10``."""

    def check(self, name: str, value: Any) -> Allowance:
        try:
            return Allowance.parse(Text().check(name, value))
        except ValueError:
            raise _invalid(name, 'a budget such as "30/10" (30 requests in 10 seconds)', value) from None


SECONDS = Number(0, MAX_SECONDS)
CLOCK_SHIFT = Number(-100 * MAX_SECONDS, 100 * MAX_SECONDS)
PROBABILITY = Number(0, 1)
COUNT = Integer(0, 10**9)
TIMES = Integer(1, 10**9)
FOREIGN_TIMES = Integer(1, 100_000)
SEED = Integer(-(2**63), 2**63 - 1)
STATUS = Integer(200, 599)
TEXT, HEADER_TEXT, HEADERS, BUDGET = Text(), Text(header=True), Headers(), AllowanceText()


def parse_fields(body: Any, fields: Mapping[str, Field], *required: str) -> dict[str, Any]:
    """Return the fields of a body that are not null.

    :param fields: The known fields.
    :param required: Names of fields that must not be missing.
    :raises BadValue: A field is unknown, missing or invalid.
    """
    if not isinstance(body, dict):
        raise BadValue(f"The body must be a JSON object, but it is {_shorten(body)}.")
    for name in body:
        if name not in fields:
            raise BadValue(f"Unknown field {_shorten(name)}. The known fields are {', '.join(fields)}.")
    values = {name: fields[name].check(name, value) for name, value in body.items() if value is not None}
    for name in required:
        if name not in values:
            raise BadValue(f"The field {name} is missing.")
    return values


def parse_choice(name: str, value: Any, known: Mapping[str, Any]) -> str:
    """Return a value that must be one of the known names.

    :raises BadValue: The value is not one of them.
    """
    if not isinstance(value, str) or value not in known:
        raise BadValue(f"Unknown {name} {_shorten(value)}. The known values are {', '.join(sorted(known))}.")
    return value


def _invalid(name: str, expected: str, value: Any) -> BadValue:
    return BadValue(f"The value of {name} must be {expected}, but it is {_shorten(value)}.")


def _shorten(value: Any) -> str:
    if isinstance(value, int) and not -(10**MAX_SHOWN_CHARACTERS) < value < 10**MAX_SHOWN_CHARACTERS:
        return "a number with too many digits"  # Python raises ValueError when it formats very large integers.
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"
