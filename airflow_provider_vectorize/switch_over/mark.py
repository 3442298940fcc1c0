"""The mark in the description of an index: which pointer it belongs to, and which model its vectors come from.

Only indexes with the mark of a pointer are ever deleted for that pointer, so that a test environment cannot delete the
indexes of production. Vectorize cannot change a description, so the mark is written when the index is created.

Assumption that only the real service could confirm: it keeps a description of some hundred characters as it was sent.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

_MARK = re.compile(r"(?:.* )?airflow-provider-vectorize (\{.*\})", re.DOTALL)


@dataclass(frozen=True)
class Mark:
    """What the description of an index says about its switch-over.

    :param pointer: URI of the pointer.
    :param model: Embedding model of the vectors, if it is known.
    """

    pointer: str
    model: str | None = None


def describe(mark: Mark, description: str | None) -> str:
    """Return the description of a new index: the user's text, and the mark."""
    text = f"{description} " if description else ""
    return f"{text}airflow-provider-vectorize {json.dumps(asdict(mark))}"


def read_mark(description: str | None) -> Mark | None:
    """Return the mark at the end of a description, or ``None`` if it has none."""
    match = _MARK.fullmatch(description or "")
    try:
        value = json.loads(match[1]) if match else None
        return Mark(value["pointer"], value.get("model")) if value else None
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
