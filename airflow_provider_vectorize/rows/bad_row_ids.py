"""Read the ID of a bad row, if it is certain."""

from __future__ import annotations

import json
from collections.abc import Sequence

from airflow_provider_vectorize.rows.checks import LONG_BYTES


def readable_id(text: bytes, path: Sequence[str] = ("id",)) -> str | None:
    """Return the ID of a bad row, or ``None`` if it is not certain which ID the row has, or whether it is one row.

    The line has to be a JSON object, in which ``NaN`` and infinities are allowed, with exactly one ID. An incomplete
    line may hold the rest of another row.

    :param path: Where the ID is in the row. An ID at another place than ``id`` may be a whole number.
    """
    if len(text) > LONG_BYTES or not text.lstrip().startswith(b"{"):
        return None
    try:
        value: object = json.loads(text, object_pairs_hook=_Items)
    except (ValueError, RecursionError):
        return None
    for name in path:
        value = _only(value, name)
    if tuple(path) != ("id",) and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and value else None


class _Items(list[tuple[str, object]]):
    """The keys and values of a JSON object, including keys that occur twice."""


def _only(value: object, name: str) -> object:
    """Return the only value that an object has for a key, or the element of an array, or ``None``."""
    if isinstance(value, _Items):
        found = [item for key, item in value if key == name]
        return found[0] if len(found) == 1 else None
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return None
