"""What a load collects for checks while its rows stream by, as a value and as the JSON of the checks file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from airflow_provider_vectorize.load.neighbors import NEIGHBORS, Neighbor
from airflow_provider_vectorize.load.row_hashes import Counts
from airflow_provider_vectorize.rows.hashing import float32_bytes

#: How every checks file begins, so that no other file is mistaken for one.
SIGNATURE = b'{"kind":"vectorize-checks"'
#: Version of the format of the checks file.
FORMAT = 1


@dataclass(frozen=True)
class CollectedQuery:
    """A vector of the source, and its exact nearest neighbors among all vectors of the source.

    :param id: Its ID.
    :param values: Its values as float32.
    :param neighbors: The nearest first, among them the vector itself. Those that tie with the last one are included.
    """

    id: str
    values: tuple[float, ...]
    neighbors: tuple[Neighbor, ...]


@dataclass(frozen=True)
class Collection:
    """What a load or a sync collected of the rows that it read.

    :param index_name: Name of the index.
    :param operation: ``insert`` or ``upsert``.
    :param created_on: ISO 8601, creation time of the index that was loaded.
    :param counts: Counts of the rows.
    :param zero_ids: IDs of a few zero vectors.
    :param samples: Digests of the values of vectors that were chosen at random, by ID, see :func:`values_digest`.
    :param queries: Vectors with their exact neighbors.
    :param neighbors: Number of neighbors of a query, without those that tie with the last one.
    """

    index_name: str
    operation: str
    created_on: str | None
    counts: Counts
    zero_ids: Sequence[str] = ()
    samples: Mapping[str, str] = field(default_factory=dict)
    queries: Sequence[CollectedQuery] = ()
    neighbors: int = NEIGHBORS

    def to_json(self) -> bytes:
        """Return the content of the checks file."""
        return msgspec.json.encode({
            "kind": "vectorize-checks",
            "format": FORMAT,
            "index_name": self.index_name,
            "operation": self.operation,
            "created_on": self.created_on,
            "counts": self.counts._asdict(),
            "zero_ids": self.zero_ids,
            "samples": self.samples,
            "queries": [
                {"id": query.id, "values": query.values, "neighbors": query.neighbors} for query in self.queries
            ],
            "neighbors": self.neighbors,
        })

    @classmethod
    def from_json(cls, content: bytes) -> Collection:
        """Read :meth:`to_json` back.

        :raises ValueError: The content is not that of a checks file, or a newer version of the provider wrote it.
        """
        if not content.startswith(SIGNATURE):
            raise ValueError("it is not a checks file")
        try:
            plain: dict[str, Any] = msgspec.json.decode(content)
            if plain["format"] > FORMAT:
                raise ValueError("a newer version of the provider wrote it")
            return cls(
                index_name=str(plain["index_name"]),
                operation=str(plain["operation"]),
                created_on=plain["created_on"],
                counts=Counts(**plain["counts"]),
                zero_ids=tuple(plain["zero_ids"]),
                samples=plain["samples"],
                queries=tuple(
                    CollectedQuery(
                        query["id"],
                        tuple(query["values"]),
                        tuple(Neighbor(str(found), float(score)) for found, score in query["neighbors"]),
                    )
                    for query in plain["queries"]
                ),
                neighbors=int(plain["neighbors"]),
            )
        except (TypeError, KeyError, msgspec.DecodeError) as error:
            raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error


def values_digest(values: Sequence[float] | np.ndarray) -> str:
    """Return a digest of values as Vectorize stores them."""
    with np.errstate(over="ignore"):
        return hashlib.sha256(float32_bytes(np.asarray(values, np.float64))).hexdigest()[:16]
