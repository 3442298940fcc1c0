"""Immutable records that the engine and the HTTP layer exchange."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Json = dict[str, Any]


class Kind(StrEnum):
    """Kind of a mutation. FOREIGN is a write of another client and changes no vector."""

    INSERT = "insert"
    UPSERT = "upsert"
    DELETE = "delete_by_ids"
    CREATE_METADATA_INDEX = "metadata_index_create"
    DELETE_METADATA_INDEX = "metadata_index_delete"
    FOREIGN = "foreign"


class Vector(NamedTuple):
    """A vector in the log. ``metadata`` is compact JSON in the key order of the sender. ``values`` are float32."""

    id: str
    namespace: str | None
    metadata: bytes | None
    values: bytes | None


class StoredVector(NamedTuple):
    """A folded vector, with its row in the store and the sequence number of the mutation that wrote it."""

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
    """An index in the catalog. Deleted indexes are kept, because requests for them get status 410."""

    key: int
    account: str
    name: str
    description: str
    dimensions: int
    metric: str
    created_on: float
    modified_on: float
    deleted: int  # 0 or 1: SQLite has no booleans


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
    """For mutations of metadata indexes: ``propertyName`` and, when created, a newline and its type."""


@dataclass(frozen=True, slots=True)
class MetadataIndex:
    """A metadata index. It covers only vectors written after the mutation with the sequence number ``since``."""

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
class FoldedBatch:
    """A batch of mutations that one run of the folding job applied."""

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
class ListingPage:
    ids: tuple[str, ...]
    total: int
    cursor: str | None
    expires_at: float | None
