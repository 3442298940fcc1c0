"""All methods of Mastra's vector store (``@mastra/vectorize``), against local Vectorize.

The filters are those that its own tests expect of the real service.
"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import values
from .node_client import NodeClient, NodeError

pytestmark = pytest.mark.clients
BOOKS = {"indexName": "books"}
CREATE = ("createIndex", {**BOOKS, "dimension": 32, "metric": "cosine"})


@pytest.fixture
def mastra(local_vectorize: LocalVectorize) -> NodeClient:
    return NodeClient("mastra", local_vectorize)


def upsert(*vectors: tuple[str, list[float], dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    ids, numbers, metadata = zip(*vectors, strict=True)
    return "upsert", {**BOOKS, "ids": ids, "vectors": numbers, "metadata": metadata}


def query(filter_: dict[str, Any] | None = None, **options: Any) -> tuple[str, dict[str, Any]]:
    return "query", {**BOOKS, "queryVector": values(1), **({} if filter_ is None else {"filter": filter_}), **options}


def ids_of(matches: Any) -> list[str]:
    return sorted(match["id"] for match in matches)


def test_mastra_creates_lists_describes_and_deletes_indexes(mastra: NodeClient) -> None:
    _, _, other, listed, described, deleted, remaining = mastra.call(
        CREATE,
        CREATE,  # An existing index of the same dimensions is accepted.
        ("createIndex", {"indexName": "films", "dimension": 64, "metric": "dotproduct"}),
        ("listIndexes",),
        ("describeIndex", {"indexName": "films"}),
        ("deleteIndex", {"indexName": "films"}),
        ("listIndexes",),
    )
    assert (other, deleted) == (None, None)
    assert listed == ["books", "films"]
    assert described == {"dimension": 64, "count": 0, "metric": "dot-product"}
    assert remaining == ["books"]


def test_mastra_create_index_of_other_dimensions_is_refused(mastra: NodeClient) -> None:
    _, refused = mastra.try_calls(CREATE, ("createIndex", {**BOOKS, "dimension": 64, "metric": "cosine"}))
    assert isinstance(refused, NodeError)
    assert "32 dimensions, but 64 dimensions" in refused.message


def test_mastra_upserts_queries_describes_and_deletes_vectors(mastra: NodeClient) -> None:
    _, ids, matches, described, _, remaining = mastra.call(
        CREATE,
        upsert(("a", values(1), {"n": 1}), ("b", values(0, 1), {"n": 2})),
        query(topK=1, includeVector=True),
        ("describeIndex", BOOKS),
        ("deleteVector", {**BOOKS, "id": "a"}),
        query(),
    )
    assert ids == ["a", "b"]
    assert matches == [{"id": "a", "metadata": {"n": 1}, "score": 1, "vector": values(1)}]
    assert described == {"dimension": 32, "count": 2, "metric": "cosine"}
    assert ids_of(remaining) == ["b"]


def test_mastra_upsert_replaces_a_vector_and_generates_missing_ids(mastra: NodeClient) -> None:
    _, generated, _, _, matches = mastra.call(
        CREATE,
        ("upsert", {**BOOKS, "vectors": [values(0, 1)]}),
        upsert(("a", values(0, 0, 1), {"n": 1})),
        upsert(("a", values(1), {"n": 2})),
        query(),
    )
    assert [match["id"] for match in matches] == ["a", *generated]
    assert matches[0]["metadata"] == {"n": 2}


def test_mastra_creates_lists_and_deletes_metadata_indexes(mastra: NodeClient) -> None:
    _, _, _, _, listed, _, remaining = mastra.call(
        CREATE,
        ("createMetadataIndex", "books", "title", "string"),
        ("createMetadataIndex", "books", "nested.number", "number"),
        ("createMetadataIndex", "books", "title", "string"),  # A second time, which succeeds.
        ("listMetadataIndexes", "books"),
        ("deleteMetadataIndex", "books", "title"),
        ("listMetadataIndexes", "books"),
    )
    assert listed == [
        {"propertyName": "title", "indexType": "String"},
        {"propertyName": "nested.number", "indexType": "Number"},
    ]
    assert remaining == [{"propertyName": "nested.number", "indexType": "Number"}]


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["a", "b", "c", "d"]),
    ({"price": 150}, ["b"]),
    ({"price": {"$ne": 150}}, ["a", "c", "d"]),
    ({"price": {"$gt": 100, "$lte": 200}}, ["b", "c"]),
    ({"price": {"$gt": "150"}}, ["c"]),
    ({"price": [100, 200]}, ["a", "c"]),
    ({"price": {"$nin": [100, 200]}}, ["b", "d"]),
    ({"price": {"$in": [None, 100]}}, ["a"]),
    ({"price": {"$ne": None}}, ["a", "b", "c", "d"]),
    ({"kind": "fruit"}, ["a", "b"]),
    ({"kind": {"$in": ["fruit", 7, True]}}, ["a", "b"]),
    ({"kind": "fruit", "price": {"$gte": 150}}, ["b"]),
    ({"fresh": True}, ["a", "c"]),
    ({"nested": {"number": {"$lt": 3}}}, ["a", "b"]),
    ({"nested.number": 3}, ["c"]),
    ({"kind": "missing"}, []),
]
ROWS = [
    ("a", values(1), {"price": 100, "kind": "fruit", "fresh": True, "nested": {"number": 1}}),
    ("b", values(1, 1), {"price": 150, "kind": "fruit", "fresh": False, "nested": {"number": 2}}),
    ("c", values(1, 2), {"price": 200, "kind": "bread", "fresh": True, "nested": {"number": 3}}),
    ("d", values(1, 3), {"price": None, "other": 1}),
]
METADATA_INDEXES = [
    ("createMetadataIndex", "books", name, type_)
    for name, type_ in [("price", "number"), ("kind", "string"), ("fresh", "boolean"), ("nested.number", "number")]
]


def test_mastra_filters_match_as_its_own_tests_expect(mastra: NodeClient) -> None:
    results = mastra.call(CREATE, *METADATA_INDEXES, upsert(*ROWS), *(query(filter_) for filter_, _ in FILTERS))
    found = [ids_of(matches) for matches in results[-len(FILTERS) :]]
    assert [(filter_, ids) for (filter_, _), ids in zip(FILTERS, found, strict=True)] == FILTERS


BAD_FILTERS: list[dict[str, Any]] = [
    {"price": {}}, {"": 1}, {'a"b': 1}, {"k" * 513: 1}, {"price": {"$gt": [1]}}, {"price": {"$lt": [1]}},
    {"kind": "x" * 2_048},
]  # fmt: skip


def test_mastra_bad_filters_are_refused(mastra: NodeClient) -> None:
    results = mastra.try_calls(CREATE, *METADATA_INDEXES, *(query(filter_) for filter_ in BAD_FILTERS))
    for filter_, refused in zip(BAD_FILTERS, results[-len(BAD_FILTERS) :], strict=True):
        assert isinstance(refused, NodeError), filter_
        assert refused.status == 400, filter_


def test_mastra_update_vector_adds_a_vector_with_a_new_id(mastra: NodeClient) -> None:
    """The method does not pass on the ID, and it needs a vector. Both are mistakes of the client."""
    _, _, _, no_vector, nothing, matches = mastra.try_calls(
        CREATE,
        upsert(("a", values(0, 1), {"n": 1})),
        ("updateVector", {**BOOKS, "id": "a", "update": {"vector": values(1), "metadata": {"n": 2}}}),
        ("updateVector", {**BOOKS, "id": "a", "update": {"metadata": {"n": 3}}}),
        ("updateVector", {**BOOKS, "id": "a", "update": {}}),
        query(),
    )
    assert isinstance(no_vector, NodeError)
    assert no_vector.status is None
    assert isinstance(nothing, NodeError)
    assert "No update data" in nothing.message
    assert [(match["id"] == "a", match["metadata"]) for match in matches] == [(False, {"n": 2}), (True, {"n": 1})]


def test_mastra_error_carries_status_and_code_of_the_response(mastra: NodeClient) -> None:
    deleted, missing, wrong = mastra.try_calls(
        CREATE,
        ("deleteIndex", BOOKS),
        ("describeIndex", BOOKS),
        ("describeIndex", {"indexName": "missing"}),
        ("upsert", {"indexName": "missing", "vectors": [values(1)]}),
    )[2:]
    assert (deleted.status, deleted.codes) == (410, [3005])
    assert (missing.status, missing.codes) == (404, [3000])
    assert (wrong.status, wrong.codes) == (404, [3000])
