"""Checks of filters and index names before a request, and the explanation of queries without matches."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.api.conftest import ndjson, values, vector
from tests.support import client_of


def test_query_empty_filter_equals_no_filter(client: VectorizeClient) -> None:
    client.upsert("books", ndjson(vector("a", 1), vector("b", 0, 1)))
    assert client.query("books", vector=values(1), filter={}) == client.query("books", vector=values(1))


FILTERED = {
    "missing": {"price": {"$gt": 5}, "year": 2020, "shop": {"city": "Rome", "open": {"$ne": None}}},
    "present": {"year": {"$gt": 3000}},
}


def test_query_without_matches_warns_about_missing_metadata_indexes(
    client: VectorizeClient, local_vectorize: LocalVectorize, caplog: pytest.LogCaptureFixture
) -> None:
    client.create_metadata_index("books", "year", "number")
    client.list_metadata_indexes("books")
    client.upsert("books", ndjson(vector("a", 1, metadata={"year": 2020, "price": 9})))
    local_vectorize.clear_requests()
    assert client.query("books", vector=values(1), filter=FILTERED["missing"]).count == 0
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert 'no metadata index exists on "price", "shop.city", "shop.open" (existing ones: year)' in warning
    assert [request.operation for request in local_vectorize.requests()] == ["query", "list_metadata_indexes"]


def test_query_without_missing_metadata_index_does_not_warn(
    client: VectorizeClient, local_vectorize: LocalVectorize, caplog: pytest.LogCaptureFixture
) -> None:
    client.create_metadata_index("books", "year", "number")
    client.list_metadata_indexes("books")
    client.upsert("books", ndjson(vector("a", 1, metadata={"year": 2020})))
    local_vectorize.clear_requests()
    assert client.query("books", vector=values(1), filter={"year": 2020}).count == 1
    assert client.query("books", vector=values(1), namespace="none").count == 0
    assert [request.operation for request in local_vectorize.requests()] == ["query", "query"]
    assert client.query("books", vector=values(1), filter=FILTERED["present"]).count == 0
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_query_without_matches_succeeds_if_metadata_indexes_unreadable(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    local_vectorize.fail("http_500", operation="list_metadata_indexes", times=None)
    assert client.query("books", vector=values(1), filter={"year": 2020}).count == 0
    assert len(local_vectorize.requests("list_metadata_indexes")) == 1


@pytest.mark.parametrize(
    ("filter_", "message"),
    [
        ({"price": {"gt": 5}}, 'Write "$gt"'),
        ({"price": {"GTE": 5}}, 'Write "$gte"'),
        ({"price": {"in": [5]}}, 'Write "$in"'),
        ({"price": {"gte": 5, "lt": 9}}, 'write "price.gte" as the key'),
        ({"shop": {"price": {"ne": 5}}}, 'in the filter on "shop.price"'),
        ({"price": {"$gt": 5, "lt": 9}}, "unknown operator 'lt'"),
        ({"price": {"$regex": "x"}}, "unknown operator '$regex'"),
        ({"$or": [{"a": 1}]}, "Vectorize has no $or"),
        ({"$gt": 5}, "stands in place of a property"),
        ({"a": [1, 2]}, '{"a": {"$in": [...]}}'),
        ({"a": {"$in": []}}, "non-empty list"),
        ({"a": {"$in": "x"}}, "non-empty list"),
        ({"a": {"$nin": [[1]]}}, "not a list"),
        ({"a": {"$gt": [1]}}, "not a list"),
        ({"a": {"$eq": {"b": 1}}}, "not a dict"),
        ({"a": {}}, "an empty object"),
        ({"": 1}, "non-empty text"),
        ({"$a": 1}, "without a leading $"),
        ({'a"b': 1}, 'without "'),
        ({"k" * 513: 1}, "513 characters"),
        ({"a": "x" * 2_048}, "shorter than 2048 bytes"),
        ("year = 2020", "not str"),
        ([("year", 2020)], "not list"),
    ],
)
def test_query_invalid_filter_sends_nothing(
    client: VectorizeClient, local_vectorize: LocalVectorize, filter_: Any, message: str
) -> None:
    local_vectorize.clear_requests()
    with pytest.raises(errors.InvalidQueryError, match=re.escape(message)):
        client.query("books", vector=values(1), filter=filter_)
    assert local_vectorize.requests() == []


@pytest.mark.parametrize(
    "name", ["Books", "1books", "books-", "b", "_books", "b" * 65, "böks", "a b", "a/b", "", None, 5]
)
def test_create_index_invalid_name_states_rules_and_sends_nothing(
    client: VectorizeClient, local_vectorize: LocalVectorize, name: Any
) -> None:
    local_vectorize.clear_requests()
    with pytest.raises(errors.ConfigError, match=r"lower-case letters, digits, - and _, starts.* 2 to 64"):
        client.create_index(name, dimensions=32, metric="cosine")
    assert local_vectorize.requests() == []


def test_get_index_accepts_names_not_allowed_for_new_indexes(client: VectorizeClient) -> None:
    with pytest.raises(errors.IndexNotFoundError):
        client.get_index("Books-")  # The request is sent, because Cloudflare may have changed the rule.


def test_create_index_name_pattern_comes_from_limits(local_vectorize: LocalVectorize) -> None:
    limits = replace(LIMITS, index_name_pattern=r"\w+")
    with client_of(local_vectorize, limits=limits) as client, pytest.raises(errors.ApiError, match="invalid_name"):
        client.create_index("Books", dimensions=32, metric="cosine")
