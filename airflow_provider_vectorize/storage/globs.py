"""Patterns: which keys ``*``, ``?``, ``[...]`` and ``**`` mean, found with as few listings as they allow."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.storage.store import Entry, Store

_MAGIC = re.compile(r"[*?[]")


def expand(store: Store, bucket: str, pattern: str) -> Iterator[Entry]:
    """The objects and folders whose keys match, in no order.

    ``*``, ``?`` and ``[...]`` match within a folder. ``**`` between slashes matches any number of folders, and at the
    end everything below.

    :raises ConfigError: ``**`` is only a part of a step, which libraries read in different ways.
    """
    for step in pattern.split("/"):
        if "**" in step and step != "**":
            raise ConfigError(
                f"The pattern {pattern} has ** beside other characters: ** has to stand alone between slashes, as in "
                "a/**/*.ndjson."
            )
    root = pattern[: len(pattern) - len(pattern.lstrip("/"))]
    return _walk(store, bucket, root, pattern[len(root) :].split("/"))


def compiled(steps: list[str]) -> re.Pattern[str]:
    """What matches the steps of a pattern, joined by slashes."""
    parts = []
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        if step == "**":
            parts.append(".+" if last else "(?:[^/]*/)*")
        else:
            parts.append(_step(step) + ("" if last else "/"))
    return re.compile("".join(parts), re.DOTALL)


def _walk(store: Store, bucket: str, prefix: str, steps: list[str]) -> Iterator[Entry]:
    step, rest = steps[0], steps[1:]
    if step == "**":
        matches = compiled(steps)
        for entry in store.below(bucket, prefix):
            if matches.fullmatch(entry.key, len(prefix)):
                yield entry
        return
    if rest and not _MAGIC.search(step):
        yield from _walk(store, bucket, f"{prefix}{step}/", rest)
        return
    start, matches = step[: found.start()] if (found := _MAGIC.search(step)) else step, compiled([step])
    for entry in store.level(bucket, prefix, start):
        name = entry.key[len(prefix) :]
        if entry.is_folder and matches.fullmatch(name.removesuffix("/")):
            if rest:
                yield from _walk(store, bucket, entry.key, rest)
            else:
                yield entry
        elif not rest and not entry.is_folder and matches.fullmatch(name):
            yield entry


def _step(step: str) -> str:
    """One step as a regular expression."""
    out, at = [], 0
    while at < len(step):
        character, at = step[at], at + 1
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[" and (end := step.find("]", at + 1 + (step[at : at + 1] in ("!", "^")))) > 0:
            inside, at = step[at:end].replace("\\", "\\\\").replace("[", "\\["), end + 1
            negated = inside[0] in "!^"
            body = inside[negated:]
            try:
                re.compile(f"[{body}]")
            except re.error:
                body = re.escape(body)
            out.append(f"(?!/)[{'^' if negated else ''}{body}]")
        else:
            out.append(re.escape(character))
    return "".join(out)
