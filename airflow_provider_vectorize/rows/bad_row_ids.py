"""Read the ID of a bad row, if it is certain."""

from __future__ import annotations

import json

from airflow_provider_vectorize.rows.checks import LONG_BYTES


def readable_id(text: bytes) -> str | None:
    """Return the ID of a bad row, or ``None`` if it is not certain which ID the row has, or whether it is one row.

    The line has to be a JSON object, in which ``NaN`` and infinities are allowed, with exactly one ID. An incomplete
    line may hold the rest of another row.
    """
    if len(text) > LONG_BYTES or not text.lstrip().startswith(b"{"):
        return None
    try:
        items = json.loads(text, object_pairs_hook=_Items)
    except (ValueError, RecursionError):
        return None
    ids = [value for key, value in items if key == "id"]
    return ids[0] if len(ids) == 1 and isinstance(ids[0], str) and ids[0] else None


class _Items(list[tuple[str, object]]):
    """The keys and values of a JSON object, including keys that occur twice."""
