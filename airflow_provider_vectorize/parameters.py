"""Check the values that callers pass: what templates, XComs, environment variables and JSON make of them. No I/O.

A check takes the name of a parameter and its value. It returns the value to use, or raises a ``ConfigError`` that says
what is wrong and where such a value comes from.
"""

from __future__ import annotations

import ast
import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_vectorize.errors import ConfigError

Check = Callable[[str, Any], Any]

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_LAZY = ("LazyXComSequence(", "LazyXComSelectSequence(", "LazySelectSequence(")
_NATIVE_NUMBER = (
    "With render_template_as_native_obj=True, a template turns digits into a number (007 into 7). Pass the output of "
    "a task instead of a template, or quote the template: \"'{{ ... }}'\"."
)


def check_values(checks: Mapping[str, Check], **values: Any) -> dict[str, Any]:
    """Check each value by the check of its name.

    :raises ConfigError: one of them is wrong.
    """
    return {name: checks[name](name, value) for name, value in values.items()}


def resolved_later(value: Any) -> bool:
    """Whether Airflow replaces this value before the task runs: a template, or the output of a task."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    return hasattr(value, "iter_references")  # what XComArg and DagParam have in common


# ---------------------------------------------------------------- text


def text(name: str, value: Any) -> str:
    """Return text that is not empty.

    :raises ConfigError: it is empty, no text, or text that a template made of None, a list or a dict.
    """
    if value is None:
        raise ConfigError(f"{name} is missing: it is None. Check where its value comes from.")
    if not isinstance(value, str):
        if _is_number(value):
            raise ConfigError(f"{name} has to be text, not the number {value}. {_NATIVE_NUMBER}")
        raise ConfigError(f"{name} has to be text, not {_shown(value)}.")
    if not value.strip():
        raise ConfigError(f"{name} is empty. If a template made it, check what the template refers to.")
    refuse_stringified_value(name, value)
    return value


def text_or_empty(name: str, value: Any) -> str:
    """Return text as :func:`text` does, or empty text."""
    return "" if isinstance(value, str) and not value else text(name, value)


def refuse_stringified_value(name: str, value: str) -> None:
    """Refuse text that a template made of something else.

    :raises ConfigError: it is how Python or JSON writes None, a list or a dict.
    """
    stripped = value.strip()
    if stripped == "None":
        raise ConfigError(
            f"{name} is the text 'None', which a template makes of a missing value. Check what the template refers to."
        )
    if stripped.startswith(_LAZY) or _is_text_of_a_container(stripped):
        raise ConfigError(
            f"{name} is a list or a dict that was turned into text: {_shown(value)}. A template does that. Pass the "
            "output of the task itself (task.output), or set render_template_as_native_obj=True for the DAG."
        )


def _is_text_of_a_container(stripped: str) -> bool:
    if stripped[:1] + stripped[-1:] not in {"[]", "{}", "()"}:
        return False
    if any(quote in stripped for quote in "'\""):
        return True  # [PosixPath('a')] is no literal
    try:
        return isinstance(ast.literal_eval(stripped), (list, dict, tuple, set))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False  # a glob like [abc]


def one_of(*allowed: str) -> Check:
    """Make a check for one of some words."""
    words = [repr(word) for word in allowed]
    said = f"{', '.join(words[:-1])} or {words[-1]}"

    def check(name: str, value: Any) -> str:
        if not (isinstance(value, str) and value in allowed):
            raise ConfigError(f"{name} has to be {said}, not {_shown(value)}.")
        return value

    return check


# ---------------------------------------------------------------- numbers and flags


def whole_number(least: int | None = None) -> Check:
    """Make a check for a whole number, also as text ("8"), which is what templates and variables are."""

    def check(name: str, value: Any) -> int:
        number = _whole(value)
        if number is None or (least is not None and number < least):
            bound = "" if least is None else f" of {least} or more"
            raise ConfigError(f"{name} has to be a whole number{bound}, not {_shown(value)}.")
        return number

    return check


def _whole(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value.strip()) else None
    if not _is_number(value) or not math.isfinite(value) or value != int(value):
        return None
    return int(value)


def positive_number(name: str, value: Any) -> float:
    """Return a finite number above 0, also from text ("12.5").

    :raises ConfigError: it is none.
    """
    try:
        number = float(value) if isinstance(value, str) or _is_number(value) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ConfigError(f"{name} has to be a number above 0, not {_shown(value)}.")
    return number


def flag(name: str, value: Any) -> bool:
    """Return a bool, also from text ("true", "False").

    :raises ConfigError: it is none.
    """
    found = {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise ConfigError(f"{name} has to be True or False, not {_shown(value)}.")
    return found


def instance_of(kind: type[Any]) -> Check:
    """Make a check for an object of a class."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise ConfigError(f"{name} has to be an object of the class {kind.__name__}, not {_shown(value)}.")
        return value

    return check


# ---------------------------------------------------------------- paths and lists


def optional(check: Check, *, empty_is_none: bool = False) -> Check:
    """Make a check that lets None pass.

    :param empty_is_none: An empty text means None.
    """

    def checked_or_none(name: str, value: Any) -> Any:
        return None if value is None or (empty_is_none and value == "") else check(name, value)

    return checked_or_none


def path(name: str, value: Any) -> str:
    """Return a path or a URI as text, also from a ``pathlib.Path`` or an ``ObjectStoragePath``.

    :raises ConfigError: it is neither.
    """
    return text(name, str(value) if _is_path(value) else value)


def paths(name: str, value: Any) -> list[str]:
    """Return one or several paths as a list, also from the output of mapped tasks.

    :raises ConfigError: there is none, or one of them is no path.
    """
    several = is_collection(value)
    found = list(value) if several else [value]
    if not found or any(isinstance(one, str) and not one.strip() for one in found):
        raise ConfigError(
            f"The {name} is empty: name an object, a glob or a list of them. If a template made it, check what the "
            "template refers to."
        )
    return [path(f"Item {number} of {name}" if several else name, one) for number, one in enumerate(found, 1)]


def ids(name: str, value: Any) -> list[str]:
    """Return ids as a list of texts, also from the output of mapped tasks.

    :raises ConfigError: it is no collection, or one of the ids is no text.
    """
    if isinstance(value, str):
        refuse_stringified_value(name, value)
        raise ConfigError(f"{name} has to be a list of strings. For one id, write [{_shown(value)}].")
    if not is_collection(value):
        raise ConfigError(f"{name} has to be a list of strings, not {_shown(value)}.")
    return [vector_id(f"Item {number} of {name}", item) for number, item in enumerate(value, 1)]


def vector_id(name: str, value: Any) -> str:
    """Return the id of a vector. Any text is one, also "None".

    :raises ConfigError: it is empty or no text.
    """
    return value if isinstance(value, str) and value else text(name, value)


def is_collection(value: Any) -> bool:
    """Whether these are several values, and neither text nor a mapping."""
    return (
        isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, Mapping)) and not _is_path(value)
    )


def is_lazy(value: Any) -> bool:
    """Whether this is the output of mapped tasks, which Airflow reads an item at a time."""
    return isinstance(value, Sequence) and type(value).__name__.startswith("Lazy")


def _is_path(value: Any) -> bool:
    # Not every version's ObjectStoragePath is a PathLike.
    return isinstance(value, os.PathLike) or (hasattr(value, "as_uri") and hasattr(value, "protocol"))


def _is_number(value: Any) -> bool:
    """Whether this is an int or a float, also NumPy's, and no bool."""
    if isinstance(value, (bool, str, bytes)):
        return False
    if isinstance(value, (int, float)):
        return True
    try:
        operator.index(value)
    except TypeError:
        return type(value).__module__ == "numpy" and type(value).__name__.startswith("float")
    return True


def _shown(value: Any) -> str:
    """A value for a message, in a few words."""
    plain = value is None or isinstance(value, (str, bool, int, float))
    shown = repr(value) if plain else f"an object of the type {type(value).__name__}"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
