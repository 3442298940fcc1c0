"""Results of Vectorize as immutable values. Unknown fields are ignored. Missing optional fields are ``None``."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

Metric = Literal["cosine", "euclidean", "dot-product"]
Operation = Literal["insert", "upsert"]
UnparsableBehavior = Literal["error", "discard"]
ReturnMetadata = Literal["none", "indexed", "all"]
MetadataIndexType = Literal["string", "number", "boolean"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True, alias_generator=to_camel)

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of JSON types, for XCom. Fields that are ``None`` are left out."""
        return self.model_dump(mode="json", exclude_none=True)


class IndexConfig(_Model):
    """Shape of an index: dimensions and metric."""

    dimensions: int
    metric: Metric


class Index(_Model):
    """An index, as returned by listing, getting and creating indexes."""

    name: str
    config: IndexConfig
    description: str | None = None
    created_on: datetime | None = Field(default=None, alias="created_on")
    modified_on: datetime | None = Field(default=None, alias="modified_on")


class IndexInfo(_Model):
    """State of an index. The watermark (the two ``processed_up_to`` fields) is ``None`` before the first mutation.

    :ivar dimensions: Number of dimensions.
    :ivar vector_count: Number of vectors. It lags behind and may go down again, so it proves nothing.
    :ivar processed_up_to_mutation: Last mutation of the last processed batch. Its other mutations never appear here.
    :ivar processed_up_to_datetime: Time at which that batch was processed.
    :ivar answered_at: Time of the answer by the server's clock, in whole seconds.
    """

    dimensions: int
    vector_count: int
    processed_up_to_mutation: str | None = None
    processed_up_to_datetime: datetime | None = None
    answered_at: datetime | None = None


class Vector(_Model):
    """A stored vector. ``values`` have the precision of float32, in which Vectorize stores them."""

    id: str
    values: list[float]
    namespace: str | None = None
    metadata: dict[str, Any] | None = None


class Match(_Model):
    """A match of a query.

    :ivar score: For cosine, -1 to 1, and higher is nearer. For euclidean, 0 means identical. For dot-product,
        negative, and smaller is nearer.
    """

    id: str
    score: float
    values: list[float] | None = None
    metadata: dict[str, Any] | None = None
    namespace: str | None = None


class QueryResult(_Model):
    """The matches of a query, the nearest first."""

    count: int
    matches: list[Match]


class ListPage(_Model):
    """One page of a listing. The cursor refers to a snapshot of the ids, and expires."""

    count: int
    total_count: int
    is_truncated: bool
    next_cursor: str | None = None
    cursor_expiration_timestamp: datetime | None = None
    ids: list[str] = Field(default_factory=list, alias="vectors")

    @field_validator("ids", mode="before")
    @classmethod
    def _extract_ids(cls, vectors: Any) -> Any:
        return [vector["id"] if isinstance(vector, dict) else vector for vector in vectors]


class MetadataIndex(_Model):
    """A metadata index. The type is lower-case, although Vectorize returns it capitalized."""

    property_name: str
    index_type: MetadataIndexType

    @field_validator("index_type", mode="before")
    @classmethod
    def _to_lower_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class MetadataIndexes(_Model):
    """The metadata indexes of an index."""

    metadata_indexes: list[MetadataIndex]


class Mutation(dict[str, Any]):
    """An acknowledged write, which is in Vectorize's log and becomes visible later.

    A mutation is a dict of JSON types. A task can return one mutation or a list, and a ``VectorizeMutationSensor`` can
    wait for it. The most important keys are also attributes.

    :param operation: ``insert``, ``upsert``, ``delete``, ``create_metadata_index`` or ``delete_metadata_index``.
    :param index_name: Name of the index.
    :param mutation_id: Random id. Mutation ids have no order.
    :param accepted_at: Time of the acknowledgment by the server's clock, in whole seconds, or ``None`` if the answer
        had no date. In the dict, ISO 8601.
    :param created_on: Creation time of the incarnation of the index that the client last read before the write. In
        the dict, ISO 8601.
    :param writer: Identifies the client that sent the write. ``begun`` and ``acknowledged`` order its writes.
    :param begun: Value of the client's counter when it started to send the write.
    :param acknowledged: Value of the same counter when the client received the acknowledgment.
    """

    def __init__(
        self,
        *,
        operation: str,
        index_name: str,
        mutation_id: str,
        accepted_at: datetime | None = None,
        created_on: datetime | None = None,
        writer: str = "",
        begun: int = 0,
        acknowledged: int = 0,
    ) -> None:
        super().__init__(
            operation=operation,
            index_name=index_name,
            mutation_id=mutation_id,
            accepted_at=accepted_at.isoformat() if accepted_at else None,
            created_on=created_on.isoformat() if created_on else None,
            writer=writer,
            begun=begun,
            acknowledged=acknowledged,
        )

    @property
    def operation(self) -> str:
        return str(self["operation"])

    @property
    def index_name(self) -> str:
        return str(self["index_name"])

    @property
    def mutation_id(self) -> str:
        return str(self["mutation_id"])

    @property
    def accepted_at(self) -> datetime | None:
        return datetime.fromisoformat(self["accepted_at"]) if self["accepted_at"] else None

    @property
    def created_on(self) -> datetime | None:
        return datetime.fromisoformat(self["created_on"]) if self["created_on"] else None

    def to_dict(self) -> dict[str, Any]:
        """Return a copy as an ordinary dict."""
        return dict(self)
