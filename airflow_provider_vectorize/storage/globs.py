"""Match keys against patterns (``*``, ``?``, ``[...]``, ``**``), with as few listings as the pattern allows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.storage.store import Entry, Store

_WILDCARD = re.compile(r"[*?[]")


def expand_pattern(store: Store, bucket: str, pattern: str) -> Iterator[Entry]:
    """Yield the objects and folders whose keys match a pattern, in no particular order.

    ``*``, ``?`` and ``[...]`` match within one path segment. ``**`` between slashes matches any number of folders, and
    at the end of the pattern everything below.

    :raises ConfigError: ``**`` is combined with other characters, which libraries interpret in different ways.
    """
    for segment in pattern.split("/"):
        if "**" in segment and segment != "**":
            raise ConfigError(
                f"The pattern {pattern} combines ** with other characters: ** must stand alone between slashes, as in "
                "a/**/*.ndjson."
            )
    root = pattern[: len(pattern) - len(pattern.lstrip("/"))]
    return _matches_below(store, bucket, root, pattern[len(root) :].split("/"))


def compile_pattern(segments: list[str]) -> re.Pattern[str]:
    """Return a regular expression for keys that match the segments of a pattern, joined by slashes."""
    expressions = []
    for number, segment in enumerate(segments):
        is_last = number == len(segments) - 1
        if segment == "**":
            expressions.append(".+" if is_last else "(?:[^/]*/)*")
        else:
            expressions.append(_segment_expression(segment) + ("" if is_last else "/"))
    return re.compile("".join(expressions), re.DOTALL)


def _matches_below(store: Store, bucket: str, prefix: str, segments: list[str]) -> Iterator[Entry]:
    segment, remaining = segments[0], segments[1:]
    wildcard = _WILDCARD.search(segment)
    if segment == "**":
        expression = compile_pattern(segments)
        for entry in store.list_all(bucket, prefix):
            if expression.fullmatch(entry.key, len(prefix)):
                yield entry
        return
    if remaining and not wildcard:
        yield from _matches_below(store, bucket, f"{prefix}{segment}/", remaining)
        return
    start, expression = segment[: wildcard.start()] if wildcard else segment, compile_pattern([segment])
    for entry in store.list_level(bucket, prefix, start):
        name = entry.key[len(prefix) :]
        if entry.is_folder and expression.fullmatch(name.removesuffix("/")):
            if remaining:
                yield from _matches_below(store, bucket, entry.key, remaining)
            else:
                yield entry
        elif not remaining and not entry.is_folder and expression.fullmatch(name):
            yield entry


def _segment_expression(segment: str) -> str:
    """Return one segment of a pattern as a regular expression."""
    expression, position = [], 0
    while position < len(segment):
        character, position = segment[position], position + 1
        if character == "*":
            expression.append("[^/]*")
        elif character == "?":
            expression.append("[^/]")
        elif character == "[" and (end := _set_end(segment, position)) > 0:
            expression.append(_set_expression(segment[position:end]))
            position = end + 1
        else:
            expression.append(re.escape(character))
    return "".join(expression)


def _set_end(segment: str, start: int) -> int:
    """Return where the ``]`` of a set is. The first character of a set, after ``!`` or ``^``, may itself be ``]``."""
    return segment.find("]", start + 1 + (segment[start : start + 1] in ("!", "^")))


def _set_expression(characters: str) -> str:
    escaped = characters.replace("\\", "\\\\").replace("[", "\\[")
    is_negated = escaped[0] in "!^"
    body = escaped[is_negated:]
    try:
        re.compile(f"[{body}]")
    except re.error:
        body = re.escape(body)
    return f"(?!/)[{'^' if is_negated else ''}{body}]"
