"""What Vectorize answers, as frozen values. Unknown fields are kept out, missing optional ones are ``None``."""

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
        """JSON-plain, for XCom; what is absent has no key."""
        return self.model_dump(mode="json", exclude_none=True)


class IndexConfig(_Model):
    """Shape of an index: its dimensions and its metric."""

    dimensions: int
    metric: Metric


class Index(_Model):
    """An index, as listing, getting and creating return it."""

    name: str
    config: IndexConfig
    description: str | None = None
    created_on: datetime | None = Field(default=None, alias="created_on")
    modified_on: datetime | None = Field(default=None, alias="modified_on")


class IndexInfo(_Model):
    """The state of an index. The watermark (the last two) is absent until a first mutation was processed.

    :param vector_count: eventually consistent and not monotonic: it proves nothing.
    :param processed_up_to_mutation: the last mutation of the last processed batch, and no other of it.
    :param processed_up_to_datetime: when that batch was processed.
    :param answered_at: the server's clock when it said so, in whole seconds.
    """

    dimensions: int
    vector_count: int
    processed_up_to_mutation: str | None = None
    processed_up_to_datetime: datetime | None = None
    answered_at: datetime | None = None


class Vector(_Model):
    """A stored vector. ``values`` are the float32 that Vectorize keeps."""

    id: str
    values: list[float]
    namespace: str | None = None
    metadata: dict[str, Any] | None = None


class Match(_Model):
    """A match of a query, best first.

    :param score: cosine: -1 to 1, higher is nearer; euclidean: 0 is identical; dot-product: negative,
        smaller is nearer.
    """

    id: str
    score: float
    values: list[float] | None = None
    metadata: dict[str, Any] | None = None
    namespace: str | None = None


class QueryResult(_Model):
    """The matches of a query."""

    count: int
    matches: list[Match]


class ListPage(_Model):
    """One page of a listing. The listing is a snapshot, which its cursor names and which expires."""

    count: int
    total_count: int
    is_truncated: bool
    next_cursor: str | None = None
    cursor_expiration_timestamp: datetime | None = None
    ids: list[str] = Field(default_factory=list, alias="vectors")

    @field_validator("ids", mode="before")
    @classmethod
    def _ids(cls, vectors: Any) -> Any:
        return [vector["id"] if isinstance(vector, dict) else vector for vector in vectors]


class MetadataIndex(_Model):
    """A metadata index. Vectorize says the type capitalised; here it is as one creates it."""

    property_name: str
    index_type: MetadataIndexType

    @field_validator("index_type", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class MetadataIndexes(_Model):
    """The metadata indexes of an index."""

    metadata_indexes: list[MetadataIndex]


class Mutation(dict[str, Any]):
    """An acknowledged write: it is in Vectorize's log and becomes visible later.

    A dict of plain values, so that a task may return it, alone or in a list, and a ``VectorizeMutationSensor`` may
    wait for it. Each key is also an attribute.

    :param operation: ``insert``, ``upsert``, ``delete``, ``create_metadata_index`` or ``delete_metadata_index``.
    :param index_name: the index.
    :param mutation_id: random; it has no order.
    :param accepted_at: the server's clock (``Date``, whole seconds) when it acknowledged, where it said. In the dict,
        ISO 8601.
    :param created_on: when this incarnation of the index was created, as read before the first write. In the dict,
        ISO 8601.
    :param writer: names the client that sent the write. With it, these two order the writes of one client:
    :param begun: a counter of the client when it began to send the write.
    :param acknowledged: the same counter when it received the acknowledgement.
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
        """Return a plain copy."""
        return dict(self)
