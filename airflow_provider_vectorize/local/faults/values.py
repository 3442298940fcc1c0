"""What the control API takes: typed, finite and bounded, so that no value can break a clock, a thread or an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_vectorize.local.engine.budget import LONGEST_SECONDS, Allowance

SHOWN = 80
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
LINE_BREAKS = re.compile(r"[\r\n\0]")


class BadValue(ValueError):  # noqa: N818 - it is the caller's error
    """A sentence that says what is wrong with a control value."""


class Field(Protocol):
    """The values that one field may have."""

    def check(self, name: str, value: Any) -> Any:
        """Return the value. Raise BadValue if it is not one of them."""


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number within bounds."""

    least: float
    most: float

    def check(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise _bad(name, f"a number from {self.least:g} to {self.most:g}", value)
        return float(value)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds."""

    least: int
    most: int

    def check(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise _bad(name, f"a whole number from {self.least:,} to {self.most:,}", value)
        return value


@dataclass(frozen=True, slots=True)
class Text:
    """A text; for a header without line breaks."""

    header: bool = False

    def check(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or (self.header and LINE_BREAKS.search(value)):
            raise _bad(name, "a text without line breaks" if self.header else "a text", value)
        return value


@dataclass(frozen=True, slots=True)
class Headers:
    """HTTP headers, as an object of texts."""

    def check(self, name: str, value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or not all(HEADER_NAME.fullmatch(key) for key in value):
            raise _bad(name, "an object of HTTP headers", value)
        return {key: Text(header=True).check(f"{name}.{key}", one) for key, one in value.items()}


@dataclass(frozen=True, slots=True)
class Budget:
    """An allowance of requests, such as ``30/10``."""

    def check(self, name: str, value: Any) -> Allowance:
        try:
            return Allowance.parse(Text().check(name, value))
        except ValueError:
            raise _bad(name, 'a budget such as "30/10", 30 requests in 10 seconds', value) from None


SECONDS = Number(0, LONGEST_SECONDS)
CLOCK_SHIFT = Number(-100 * LONGEST_SECONDS, 100 * LONGEST_SECONDS)
PROBABILITY = Number(0, 1)
COUNT = Whole(0, 10**9)
TIMES = Whole(1, 10**9)
FOREIGN_TIMES = Whole(1, 100_000)
SEED = Whole(-(2**63), 2**63 - 1)
STATUS = Whole(200, 599)
TEXT, HEADER_TEXT, HEADERS, BUDGET = Text(), Text(header=True), Headers(), Budget()


def checked(body: Any, fields: Mapping[str, Field], *required: str) -> dict[str, Any]:
    """Return the fields of a body that are not null.

    :raises BadValue: A field is unknown, missing or not one of its values.
    """
    if not isinstance(body, dict):
        raise BadValue(f"A JSON object is needed, not {_shown(body)}.")
    for name in body:
        if name not in fields:
            raise BadValue(f"There is no such field: {_shown(name)}. The fields are {', '.join(fields)}.")
    found = {name: fields[name].check(name, value) for name, value in body.items() if value is not None}
    for name in required:
        if name not in found:
            raise BadValue(f"The field {name} is missing.")
    return found


def one_of(name: str, value: Any, known: Mapping[str, Any]) -> str:
    """Return a value that has to be one of some names."""
    if not isinstance(value, str) or value not in known:
        raise BadValue(f"There is no such {name}: {_shown(value)}. There are {', '.join(sorted(known))}.")
    return value


def _bad(name: str, wanted: str, value: Any) -> BadValue:
    return BadValue(f"The value of {name} must not be {_shown(value)}. It has to be {wanted}.")


def _shown(value: Any) -> str:
    if isinstance(value, int) and not -(10**SHOWN) < value < 10**SHOWN:
        return "a number of more digits"  # Python refuses to print very long ones
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
