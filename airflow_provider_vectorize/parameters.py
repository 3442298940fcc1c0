"""Check the values that callers pass, including values from templates, XComs, environment variables and JSON. No I/O.

A check takes the name of a parameter and its value. It returns the value to use, or raises a ``ConfigError`` that
reports what is wrong and where such a value usually comes from.
"""

from __future__ import annotations

import ast
import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_vectorize.errors import ConfigError

Check = Callable[[str, Any], Any]

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_LAZY_SEQUENCES = ("LazyXComSequence(", "LazyXComSelectSequence(", "LazySelectSequence(")
_NATIVE_NUMBER_HINT = (
    "With render_template_as_native_obj=True, a template turns digits into a number (007 into 7). Pass the output of "
    "a task instead of a template, or quote the template: \"'{{ ... }}'\"."
)


def check_values(checks: Mapping[str, Check], **values: Any) -> dict[str, Any]:
    """Check each value with the check of the same name, and return the values to use.

    :raises ConfigError: One of the values is invalid.
    """
    return {name: checks[name](name, value) for name, value in values.items()}


def resolved_later(value: Any) -> bool:
    """Return whether Airflow replaces this value before the task runs: a template, or the output of a task."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    return hasattr(value, "iter_references")  # XComArg and DagParam have this method in common.


# ---------------------------------------------------------------- text


def text(name: str, value: Any) -> str:
    """Return a string that is not empty.

    :raises ConfigError: The value is empty, not a string, or a string that a template made of None, a list or a dict.
    """
    if value is None:
        raise ConfigError(f"{name} is missing: it is None. Check where its value comes from.")
    if not isinstance(value, str):
        if _is_number(value):
            raise ConfigError(f"{name} must be a string, not the number {value}. {_NATIVE_NUMBER_HINT}")
        raise ConfigError(f"{name} must be a string, not {_describe(value)}.")
    if not value.strip():
        raise ConfigError(f"{name} is empty. If its value comes from a template, check what the template refers to.")
    refuse_stringified_value(name, value)
    return value


def text_or_empty(name: str, value: Any) -> str:
    """Return a string like :func:`text`, or an empty string."""
    return "" if isinstance(value, str) and not value else text(name, value)


def refuse_stringified_value(name: str, value: str) -> None:
    """Refuse a string that a template made of another value.

    :raises ConfigError: The string is the Python or JSON notation of None, a list or a dict.
    """
    stripped = value.strip()
    if stripped == "None":
        raise ConfigError(
            f"{name} is the text 'None', which is how a template renders a missing value. Check what the template "
            "refers to."
        )
    if stripped.startswith(_LAZY_SEQUENCES) or _is_stringified_container(stripped):
        raise ConfigError(
            f"{name} is a list or a dict that a template turned into text: {_describe(value)}. Pass the output of the "
            "task itself (task.output), or set render_template_as_native_obj=True for the DAG."
        )


def _is_stringified_container(stripped: str) -> bool:
    if stripped[:1] + stripped[-1:] not in {"[]", "{}", "()"}:
        return False
    if any(quote in stripped for quote in "'\""):
        return True  # For example [PosixPath('a')], which is not a literal.
    try:
        return isinstance(ast.literal_eval(stripped), (list, dict, tuple, set))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False  # For example the glob [abc].


def one_of(*allowed: str) -> Check:
    """Return a check that accepts only the given words."""
    words = [repr(word) for word in allowed]
    choices = f"{', '.join(words[:-1])} or {words[-1]}"

    def check(name: str, value: Any) -> str:
        if not (isinstance(value, str) and value in allowed):
            raise ConfigError(f"{name} must be {choices}, not {_describe(value)}.")
        return value

    return check


# ---------------------------------------------------------------- numbers and flags


def whole_number(least: int | None = None) -> Check:
    """Return a check for a whole number. It also accepts the number as text ("8"), as templates and variables pass it.

    :param least: Smallest allowed number. ``None`` (default): no limit.
    """

    def check(name: str, value: Any) -> int:
        number = _to_int(value)
        if number is None or (least is not None and number < least):
            bound = "" if least is None else f" of {least} or more"
            raise ConfigError(f"{name} must be a whole number{bound}, not {_describe(value)}.")
        return number

    return check


def _to_int(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value) if _WHOLE_NUMBER.fullmatch(value.strip()) else None
    if not _is_number(value) or not math.isfinite(value) or value != int(value):
        return None
    return int(value)


def positive_number(name: str, value: Any) -> float:
    """Return a finite number above 0. Accepts the number as text ("12.5").

    :raises ConfigError: The value is not such a number.
    """
    try:
        number = float(value) if isinstance(value, str) or _is_number(value) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ConfigError(f"{name} must be a number above 0, not {_describe(value)}.")
    return number


def duration(name: str, value: Any) -> timedelta:
    """Return a duration. Accepts a ``timedelta``, or a number of seconds, also as text.

    :raises ConfigError: The value is neither, or it is negative.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    else:
        try:
            seconds = float(value) if isinstance(value, str) or _is_number(value) else math.nan
        except (ValueError, OverflowError):
            seconds = math.nan
    if not 0 <= seconds <= timedelta.max.total_seconds() // 2:
        raise ConfigError(f"{name} must be a timedelta or a number of seconds, 0 or more, not {_describe(value)}.")
    return timedelta(seconds=seconds)


def time(name: str, value: Any) -> datetime:
    """Return a time with its time zone. Accepts a ``datetime``, or text in ISO 8601.

    :raises ConfigError: The value is neither, or it has no time zone.
    """
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(text(name, value))
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise ConfigError(f"{name} must be a time such as 2026-01-31T02:00:00+00:00, not {_describe(value)}.")
    return moment


def flag(name: str, value: Any) -> bool:
    """Return a bool. Accepts it as text ("true", "False").

    :raises ConfigError: The value is neither a bool nor such text.
    """
    parsed = {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(parsed, bool):
        raise ConfigError(f"{name} must be True or False, not {_describe(value)}.")
    return parsed


def instance_of(kind: type[Any]) -> Check:
    """Return a check that accepts only objects of a class."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise ConfigError(f"{name} must be an object of class {kind.__name__}, not {_describe(value)}.")
        return value

    return check


# ---------------------------------------------------------------- paths and lists


def optional(check: Check, *, empty_is_none: bool = False) -> Check:
    """Return a check that also accepts None.

    :param empty_is_none: Whether an empty string means None. Default: ``False``.
    """

    def check_unless_none(name: str, value: Any) -> Any:
        return None if value is None or (empty_is_none and value == "") else check(name, value)

    return check_unless_none


def path(name: str, value: Any) -> str:
    """Return a path or URI as text. Accepts a ``pathlib.Path`` or an ``ObjectStoragePath``.

    :raises ConfigError: The value is not a path.
    """
    return text(name, str(value) if _is_path(value) else value)


def paths(name: str, value: Any) -> list[str]:
    """Return one or several paths as a list. Accepts the output of mapped tasks.

    :raises ConfigError: There is no path, or one of the values is not a path.
    """
    several = is_collection(value)
    items = list(value) if several else [value]
    if not items or any(isinstance(item, str) and not item.strip() for item in items):
        raise ConfigError(
            f"The {name} is empty: name an object, a glob or a list of them. If its value comes from a template, check "
            "what the template refers to."
        )
    return [path(f"Item {number} of {name}" if several else name, item) for number, item in enumerate(items, 1)]


def ids(name: str, value: Any) -> list[str]:
    """Return ids as a list of strings. Accepts the output of mapped tasks.

    :raises ConfigError: The value is not a collection, or one of the ids is not a string.
    """
    if isinstance(value, str):
        refuse_stringified_value(name, value)
        raise ConfigError(f"{name} must be a list of strings. For one id, write [{_describe(value)}].")
    if not is_collection(value):
        raise ConfigError(f"{name} must be a list of strings, not {_describe(value)}.")
    return [vector_id(f"Item {number} of {name}", item) for number, item in enumerate(value, 1)]


def vector_id(name: str, value: Any) -> str:
    """Return the id of a vector. Any string that is not empty is allowed, even "None".

    :raises ConfigError: The value is empty or not a string.
    """
    return value if isinstance(value, str) and value else text(name, value)


def is_collection(value: Any) -> bool:
    """Return whether a value is an iterable of values: not text, a mapping or a path."""
    return (
        isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, Mapping)) and not _is_path(value)
    )


def is_lazy(value: Any) -> bool:
    """Return whether a value is the output of mapped tasks, which Airflow reads one item at a time."""
    return isinstance(value, Sequence) and type(value).__name__.startswith("Lazy")


def _is_path(value: Any) -> bool:
    # In some versions, ObjectStoragePath is not a PathLike.
    return isinstance(value, os.PathLike) or (hasattr(value, "as_uri") and hasattr(value, "protocol"))


def _is_number(value: Any) -> bool:
    """Return whether a value is an int or a float, of Python or NumPy, but not a bool."""
    if isinstance(value, (bool, str, bytes)):
        return False
    if isinstance(value, (int, float)):
        return True
    try:
        operator.index(value)
    except TypeError:
        return type(value).__module__ == "numpy" and type(value).__name__.startswith("float")
    return True


def _describe(value: Any) -> str:
    """Describe a value in a few words, for a message."""
    plain = value is None or isinstance(value, (str, bool, int, float))
    words = repr(value) if plain else f"an object of type {type(value).__name__}"
    return words if len(words) <= 80 else f"{words[:77]}..."
