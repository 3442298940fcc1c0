"""Golden queries: queries whose matches a person knows, as rows of ndjson. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.errors import ConfigError

#: Maximum ``k`` of a query. Vectorize returns no more matches with exact scores.
MAX_K = 50
DEFAULT_K = 10
_MAX_FLOAT32 = (2 - 2**-23) * 2.0**127
_KEYS = {"vector", "id", "expect", "k", "namespace"}
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class GoldenQuery:
    """A query whose matches are known.

    :param line: Line in the object, from 1.
    :param expect: IDs that the query should find.
    :param k: Number of matches among which they should be.
    :param vector: Values of the query, or ``None`` if it has an ID.
    :param vector_id: ID of a vector in the index.
    :param namespace: Namespace of the query, or ``None`` for all. An empty one in the object means all.
    """

    line: int
    expect: tuple[str, ...]
    k: int
    vector: tuple[float, ...] | None = None
    vector_id: str | None = None
    namespace: str | None = None

    @property
    def label(self) -> str:
        """Return a name for people."""
        return self.vector_id or f"line {self.line}"

    @property
    def top_k(self) -> int:
        """Return the number of matches to ask for. A query by ID also finds its own vector."""
        return min(self.k + (self.vector_id is not None and self.vector_id not in self.expect), MAX_K)


def parse_golden_queries(lines: Iterable[bytes], uri: str, dimensions: int) -> list[GoldenQuery]:
    """Return the queries of an object. Blank lines are skipped.

    :param uri: Name of the object, for messages.
    :param dimensions: Dimensions of the index.
    :raises ConfigError: A line is not a query, or there are none.
    """
    queries = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                queries.append(_parse(json.loads(line), number, dimensions))
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"Line {number} of the golden queries {uri} is not a query: {error}.") from None
    if not queries:
        raise ConfigError(f"The object of the golden queries {uri} is empty.")
    return queries


def _parse(row: Any, line: int, dimensions: int) -> GoldenQuery:
    if not isinstance(row, Mapping):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - the caller turns it into a message
    if unknown := sorted(row.keys() - _KEYS):
        raise ValueError(f"the key {unknown[0]!r} is not known. The keys are {', '.join(sorted(_KEYS))}")
    if ("vector" in row) == ("id" in row):
        raise ValueError("it needs either a vector or an id")
    k, expect, namespace = row.get("k", DEFAULT_K), row.get("expect"), row.get("namespace")
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= MAX_K:
        raise ValueError(f"k must be a whole number from 1 to {MAX_K}")
    if not isinstance(expect, list) or not expect or not all(isinstance(found, str) and found for found in expect):
        raise ValueError("expect must be a list of IDs")
    if namespace is not None and not isinstance(namespace, str):
        raise ValueError("namespace must be a string")
    if "id" in row and not (isinstance(row["id"], str) and row["id"]):
        raise ValueError("id must be a string")
    for key, text, limit in (
        ("id", row.get("id"), LIMITS.id_bytes),
        ("namespace", namespace, LIMITS.namespace_bytes),
    ):
        if len((text or "").encode("utf-8", "surrogatepass")) > limit:
            raise ValueError(f"{key} must have at most {limit} bytes")
    vector = _vector(row["vector"], dimensions) if "vector" in row else None
    return GoldenQuery(line, tuple(dict.fromkeys(expect)), k, vector, row.get("id"), namespace or None)


def _vector(values: Any, dimensions: int) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _MAX_FLOAT32
        for value in values
    ):
        raise ValueError("vector must be a list of numbers within the range of float32")
    if len(values) != dimensions:
        raise ValueError(
            f"its vector has {len(values)} values, but the index has {dimensions} dimensions. Create the queries with "
            "the model that created the vectors of the index"
        )
    return tuple(map(float, values))


def choose_evenly(items: Sequence[_Item], count: int) -> list[_Item]:
    """Return up to ``count`` items, evenly spread."""
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]
