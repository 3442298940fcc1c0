"""The values that pass between the rooms: frozen, plain, without behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Json = dict[str, Any]


class Kind(StrEnum):
    """What a mutation does. FOREIGN changes nothing: it stands for somebody else's write."""

    INSERT = "insert"
    UPSERT = "upsert"
    DELETE = "delete_by_ids"
    CREATE_METADATA_INDEX = "metadata_index_create"
    DELETE_METADATA_INDEX = "metadata_index_delete"
    FOREIGN = "foreign"


class Vector(NamedTuple):
    """A vector as it is stored. ``metadata`` is compact JSON in the order of the sender, ``values`` are float32."""

    id: str
    namespace: str | None
    metadata: bytes | None
    values: bytes | None


class StoredVector(NamedTuple):
    """A vector of the folded state, with its row there and the sequence number of the mutation that wrote it."""

    row: int
    id: str
    namespace: str | None
    metadata: bytes | None
    values: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class NewIndex:
    name: str
    description: str
    dimensions: int
    metric: str
    preset: str | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """An index as the catalog knows it; ``deleted`` ones are remembered so that they answer 410."""

    key: int
    account: str
    name: str
    description: str
    dimensions: int
    metric: str
    created_on: float
    modified_on: float
    deleted: int  # a truth value, as SQLite keeps it


@dataclass(frozen=True, slots=True)
class Mutation:
    """One acknowledged write in the log."""

    seq: int
    index_key: int
    id: str
    kind: Kind
    accepted_at: float
    vectors: int
    argument: str = ""
    """Of the metadata index mutations: ``propertyName`` and, after a newline, its type."""


@dataclass(frozen=True, slots=True)
class MetadataIndex:
    """``since`` is the last write that does not count: only later ones are in this metadata index."""

    name: str
    type: str
    since: int


@dataclass(frozen=True, slots=True)
class Info:
    dimensions: int
    vectors: int
    mutation_id: str | None
    processed_at: float | None


@dataclass(frozen=True, slots=True)
class Folded:
    """One run of the folding job."""

    index_name: str
    batch: int
    mutation_ids: tuple[str, ...]
    vectors: int
    processed_at: float


@dataclass(frozen=True, slots=True)
class QueryRequest:
    vector: Floats | None
    vector_id: str | None
    top_k: int
    return_values: bool
    return_metadata: str
    namespace: str | None
    filter: Json | None


@dataclass(frozen=True, slots=True)
class Match:
    score: float
    vector: StoredVector


@dataclass(frozen=True, slots=True)
class Page:
    ids: tuple[str, ...]
    total: int
    cursor: str | None
    expires_at: float | None
