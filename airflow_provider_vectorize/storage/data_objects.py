"""Decide which objects of a folder or pattern are data. No I/O.

Spark and its relatives write markers and checksums next to their data (``_SUCCESS``, ``.part-0.parquet.crc``), and
work in hidden folders (``_temporary/``). Their own readers skip these, and so does a load.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from airflow_provider_vectorize.storage.store import Entry

_WILDCARD = re.compile(r"[*?[]")
#: Number of skipped objects that a message names.
_NAMED_OBJECTS = 3


def split_data_objects(entries: Iterable[Entry], pattern: str) -> tuple[list[Entry], list[Entry]]:
    """Return the entries that are data, and those that are not: hidden ones, checksums and empty ones.

    :param entries: Objects that match the pattern, without folders.
    :param pattern: A pattern, or a folder that ends in ``/``. Hidden objects are data if the pattern asks for them:
        if they are in a hidden folder that it names, or its last segment starts with ``_`` or ``.``.
    """
    data: list[Entry] = []
    skipped: list[Entry] = []
    fixed, last = len(fixed_folder(pattern)), pattern.rpartition("/")[2]
    for entry in entries:
        is_data = entry.size != 0 and not _is_hidden(entry.key[fixed:], last)
        (data if is_data else skipped).append(entry)
    return data, skipped


def fixed_folder(pattern: str) -> str:
    """Return the folder below which all objects of a pattern are. It ends in ``/`` unless it is the whole bucket."""
    wildcard = _WILDCARD.search(pattern)
    return pattern[: pattern.rfind("/", 0, wildcard.start() if wildcard else None) + 1]


def describe_skipped(skipped: list[Entry]) -> str:
    """Return the names of skipped objects for a message."""
    names = ", ".join(entry.key.rpartition("/")[2] for entry in skipped[:_NAMED_OBJECTS])
    return f"{names}, …" if len(skipped) > _NAMED_OBJECTS else names


def _is_hidden(key: str, last_pattern: str) -> bool:
    *folders, name = key.split("/")
    if any(_has_hidden_name(folder) for folder in folders):
        return True
    if name.endswith(".crc"):
        return not last_pattern.endswith(".crc")
    return _has_hidden_name(name) and last_pattern[:1] not in ("_", ".")


def _has_hidden_name(segment: str) -> bool:
    # A partition folder of Hive may start with an underscore: _region=eu/.
    return segment.startswith(".") or (segment.startswith("_") and "=" not in segment)
