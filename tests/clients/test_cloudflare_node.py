"""All Vectorize methods of Cloudflare's SDK for Node, against local Vectorize."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import ndjson, values
from .node_client import NodeClient, NodeError

pytestmark = pytest.mark.clients
INDEXES = "vectorize.indexes"


class Sdk(NodeClient):
    """The SDK, with calls that pass the account id."""

    def __init__(self, local: LocalVectorize) -> None:
        super().__init__("cloudflare", local)

    def index(self, method: str, **params: Any) -> tuple[Any, ...]:
        """Return the call of a method that takes no name of an index."""
        return f"{INDEXES}.{method}", {"account_id": self.local.account_id, **params}

    def books(self, method: str, **params: Any) -> tuple[Any, ...]:
        """Return the call of a method for the index ``books``."""
        return f"{INDEXES}.{method}", "books", {"account_id": self.local.account_id, **params}

    def create(self, name: str = "books", **params: Any) -> tuple[Any, ...]:
        return self.index("create", name=name, **{"config": {"dimensions": 32, "metric": "cosine"}} | params)

    def write(self, method: str, *vectors: dict[str, Any], **params: Any) -> tuple[Any, ...]:
        return self.books(method, body=ndjson(*vectors).decode(), **params)


@pytest.fixture
def sdk(local_vectorize: LocalVectorize) -> Sdk:
    return Sdk(local_vectorize)


def test_node_sdk_creates_lists_reads_and_deletes_indexes(sdk: Sdk) -> None:
    created, preset, listed, fetched, deleted, remaining = sdk.call(
        sdk.create(description="of all sorts"),
        sdk.create("preset", config={"preset": "@cf/baai/bge-base-en-v1.5"}),
        sdk.index("list"),
        sdk.books("get"),
        sdk.books("delete"),
        sdk.index("list"),
    )
    assert (created["name"], created["description"]) == ("books", "of all sorts")
    assert created["config"] == {"dimensions": 32, "metric": "cosine"}
    assert abs((datetime.now(UTC) - datetime.fromisoformat(created["created_on"])).total_seconds()) < 60
    assert preset["config"]["dimensions"] == 768
    assert listed == [created, preset]
    assert fetched == created
    assert deleted is None
    assert remaining == [preset]


def test_node_sdk_inserts_upserts_reads_lists_and_deletes_vectors(sdk: Sdk) -> None:
    _, inserted, upserted, info, fetched, page, deleted, remaining = sdk.call(
        sdk.create(),
        sdk.write("insert", {"id": "a", "values": values(1), "metadata": {"n": 1}}),
        sdk.write("upsert", {"id": "b", "values": values(0, 1), "namespace": "n"}),
        sdk.books("info"),
        sdk.books("getByIDs", ids=["a", "b", "missing"]),
        sdk.books("listVectors", count=1),
        sdk.books("deleteByIDs", ids=["a"]),
        sdk.books("listVectors"),
    )
    assert inserted["mutationId"]
    assert (info["dimensions"], info["vectorCount"]) == (32, 2)
    assert info["processedUpToMutation"] == upserted["mutationId"]
    assert fetched == [
        {"id": "a", "values": values(1), "metadata": {"n": 1}},
        {"id": "b", "values": values(0, 1), "namespace": "n"},
    ]
    assert (page["count"], page["totalCount"], page["isTruncated"]) == (1, 2, True)
    (rest,) = sdk.call(sdk.books("listVectors", cursor=page["nextCursor"]))
    assert rest["vectors"] == [{"id": "b"}]
    assert deleted["mutationId"]
    assert remaining["vectors"] == [{"id": "b"}]


def test_node_sdk_query_with_all_options_returns_matches(sdk: Sdk) -> None:
    rows = [{"id": f"v{n}", "values": values(1, n), "metadata": {"n": n}, "namespace": "s"} for n in range(9)]
    _, _, _, answer, nearest = sdk.call(
        sdk.create(),
        sdk.books("metadataIndex.create", propertyName="n", indexType="number"),
        sdk.write("upsert", *rows, **{"unparsable-behavior": "discard"}),
        sdk.books(
            "query", vector=values(1), topK=2, filter={"n": {"$gte": 3}}, returnMetadata="all", returnValues=True,
            namespace="s",
        ),
        sdk.books("query", vector=values(1)),
    )  # fmt: skip
    assert answer["count"] == 2
    assert [(m["id"], m["metadata"], m["values"], m["namespace"]) for m in answer["matches"]] == [
        ("v3", {"n": 3}, values(1, 3), "s"),
        ("v4", {"n": 4}, values(1, 4), "s"),
    ]
    assert answer["matches"][0]["score"] == pytest.approx(10**-0.5)
    assert [match["id"] for match in nearest["matches"]] == [f"v{n}" for n in range(5)]


def test_node_sdk_creates_lists_and_deletes_metadata_indexes(sdk: Sdk) -> None:
    types = ("string", "number", "boolean")
    results = sdk.call(
        sdk.create(),
        *(sdk.books("metadataIndex.create", propertyName=f"a_{type_}", indexType=type_) for type_ in types),
        sdk.books("metadataIndex.list"),
        sdk.books("metadataIndex.delete", propertyName="a_number"),
        sdk.books("metadataIndex.list"),
    )
    assert all(created["mutationId"] for created in results[1:4])
    assert results[4]["metadataIndexes"] == [
        {"propertyName": "a_string", "indexType": "String"},
        {"propertyName": "a_number", "indexType": "Number"},
        {"propertyName": "a_boolean", "indexType": "Boolean"},
    ]
    assert len(results[6]["metadataIndexes"]) == 2


def test_node_sdk_errors_carry_status_and_code(sdk: Sdk) -> None:
    results = sdk.try_calls(
        sdk.books("info"),
        sdk.create(),
        sdk.create(),
        sdk.write("upsert", {"id": "a", "values": [1]}),
        sdk.books("getByIDs", ids=[str(n) for n in range(21)]),
        sdk.books("query", vector=values(1), topK=101),
        sdk.books("metadataIndex.delete", propertyName="missing"),
        sdk.books("delete"),
        sdk.books("get"),
    )
    errors = [result for result in results if isinstance(result, NodeError)]
    assert [(error.name, error.status, error.codes) for error in errors] == [
        ("NotFoundError", 404, [3000]),
        ("BadRequestError", 400, [3002]),
        ("BadRequestError", 400, [40012]),
        ("BadRequestError", 400, [40007]),
        ("BadRequestError", 400, [40025]),
        ("BadRequestError", 400, [40005]),
        ("APIError", 410, [3005]),
    ]


def test_node_sdk_rate_limit_and_wrong_token_raise_their_errors(sdk: Sdk) -> None:
    sdk.local.fail("rate_limit", operation="list_indexes")
    (limited,) = sdk.try_calls(sdk.index("list"))
    assert (limited.name, limited.status, limited.codes) == ("RateLimitError", 429, [971])
    (refused,) = sdk.try_calls((f"{INDEXES}.list", {"account_id": "f" * 32}))
    assert (refused.name, refused.status) == ("PermissionDeniedError", 403)
