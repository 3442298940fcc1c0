"""Comparison with Cloudflare's SDK: both clients send equivalent requests and get the same results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.api.conftest import DIMENSIONS, ndjson, numbered_vectors, values, vector

cloudflare = pytest.importorskip("cloudflare")
pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore:Passing raw bytes:DeprecationWarning")]


@pytest.fixture
def sdk(local_vectorize: LocalVectorize) -> Iterator[Any]:
    with cloudflare.Cloudflare(
        base_url=local_vectorize.base_url, api_token=local_vectorize.token, max_retries=0
    ) as client:
        yield client.vectorize.indexes


@pytest.fixture
def account(local_vectorize: LocalVectorize) -> dict[str, str]:
    return {"account_id": local_vectorize.account_id}


def to_plain(answer: Any) -> Any:
    """Return a result of the SDK as JSON types, without fields that are ``None``."""
    if isinstance(answer, list):
        return [to_plain(item) for item in answer]
    return answer.model_dump(mode="json", exclude_none=True) if hasattr(answer, "model_dump") else answer


def test_sdk_returns_same_indexes(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
    created = sdk.create(name="films", config={"dimensions": 64, "metric": "euclidean"}, description="d", **account)
    assert client.get_index("films").to_dict() == to_plain(created)
    assert [one.to_dict() for one in client.list_indexes()] == to_plain(list(sdk.list(**account)))
    assert client.get_index("books").to_dict() == to_plain(sdk.get("books", **account))
    sdk.delete("films", **account)
    assert [item.name for item in client.list_indexes()] == ["books"]


def test_sdk_writes_same_vectors(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
    as_ndjson = {"extra_headers": {"Content-Type": "application/x-ndjson"}}
    client.create_index("films", dimensions=DIMENSIONS, metric="cosine")
    for write in ("insert", "upsert"):
        body = ndjson(vector("a", 1, 2, metadata={"by": write}), vector("b", 3, namespace="n"))
        ours = getattr(client, write)("books", body)
        theirs = getattr(sdk, write)("films", body=body, **as_ndjson, **account)
        assert client.get_index_info("books").processed_up_to_mutation == ours.mutation_id
        assert client.get_index_info("films").processed_up_to_mutation == theirs.mutation_id
        assert client.get_by_ids("books", ["a", "b"]) == client.get_by_ids("films", ["a", "b"])


def test_sdk_reads_same_vectors_and_info(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
    client.create_metadata_index("books", "year", "number")
    client.create_metadata_index("books", "title", "string")
    client.upsert(
        "books",
        ndjson(*(vector(f"v{n}", 1, n / 7, metadata={"year": 2000 + n, "title": "t" * 70}) for n in range(15))),
    )
    ids = [f"v{n}" for n in range(15)]
    assert [one.to_dict() for one in client.get_by_ids("books", ids)] == to_plain(
        sdk.get_by_ids("books", ids=ids, **account)
    )
    info, theirs = client.get_index_info("books"), sdk.info("books", **account)
    assert info.dimensions == theirs.dimensions
    assert info.vector_count == theirs.vector_count
    assert info.processed_up_to_mutation == theirs.processed_up_to_mutation
    assert info.processed_up_to_datetime == theirs.processed_up_to_datetime


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 3, "return_values": True},
        {"return_metadata": "all", "filter": {"year": {"$gt": 2005}}},
        {"return_metadata": "indexed", "filter": {"year": {"$in": [2001, 2002]}}},
        {"namespace": "n"},
    ],
    ids=json.dumps,
)
def test_sdk_query_returns_same_matches(
    client: VectorizeClient, sdk: Any, account: dict[str, str], options: dict[str, Any]
) -> None:
    client.create_metadata_index("books", "year", "number")
    client.list_metadata_indexes("books")  # Reading makes it visible, so that it covers later writes.
    client.upsert("books", ndjson(*(vector(f"v{n}", 1, n / 7, metadata={"year": 2000 + n}) for n in range(15))))
    client.upsert("books", ndjson(vector("x", 1, 1, namespace="n")))
    ours = client.query("books", vector=values(1, 1), **options)
    rest = {key: value for key, value in options.items() if key != "namespace"}
    extra = (
        {"extra_body": {"namespace": "n"}} if "namespace" in options else {}
    )  # The SDK has no parameter for the namespace.
    theirs = sdk.query("books", vector=values(1, 1), **rest, **extra, **account)
    assert ours.to_dict() == to_plain(theirs)
    assert ours.count > 0


def test_sdk_lists_same_ids(
    client: VectorizeClient,
    make_client: Callable[..., VectorizeClient],
    sdk: Any,
    account: dict[str, str],
) -> None:
    client.upsert("books", ndjson(*numbered_vectors(25)))
    theirs, cursor = [], None
    while True:
        page = sdk.list_vectors("books", count=10, **({"cursor": cursor} if cursor else {}), **account)
        theirs += [item.id for item in page.vectors]
        cursor = page.next_cursor
        if not page.is_truncated:
            break
    assert list(make_client(limits=Limits(list_page=10)).list_vectors("books")) == theirs


def test_sdk_deletes_same_vectors(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
    client.upsert("books", ndjson(*numbered_vectors(5)))
    client.delete_by_ids("books", ["v0"])
    sdk.delete_by_ids("books", ids=["v1"], **account)
    assert sorted(client.list_vectors("books")) == ["v2", "v3", "v4"]


def test_sdk_returns_same_metadata_indexes(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
    sdk.metadata_index.create("books", property_name="year", index_type="number", **account)
    client.create_metadata_index("books", "title", "string")
    theirs = sdk.metadata_index.list("books", **account).metadata_indexes
    assert {index.property_name: index.index_type.lower() for index in theirs} == {
        index.property_name: index.index_type for index in client.list_metadata_indexes("books")
    }
    sdk.metadata_index.delete("books", property_name="year", **account)
    assert [item.property_name for item in client.list_metadata_indexes("books")] == ["title"]


def test_sdk_gets_same_errors(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
    pairs: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
        (lambda: client.get_index("films"), lambda: sdk.get("films", **account)),
        (lambda: client.query("books", vector=[1.0]), lambda: sdk.query("books", vector=[1.0], **account)),
        (lambda: client.get_by_ids("books", ["x" * 65]), lambda: sdk.get_by_ids("books", ids=["x" * 65], **account)),
        (
            lambda: client.delete_metadata_index("books", "p"),
            lambda: sdk.metadata_index.delete("books", property_name="p", **account),
        ),
        (
            lambda: client.create_index("books", dimensions=32, metric="cosine"),
            lambda: sdk.create(name="books", config={"dimensions": 32, "metric": "cosine"}, **account),
        ),
    ]
    for ours, theirs in pairs:
        with pytest.raises(cloudflare.APIStatusError) as their_error:
            theirs()
        with pytest.raises(Exception) as our_error:
            ours()
        assert our_error.value.status == their_error.value.status_code  # type: ignore[attr-defined]
        assert our_error.value.code == their_error.value.body["errors"][0]["code"]  # type: ignore[attr-defined, index]
        assert our_error.value.api_message == their_error.value.body["errors"][0]["message"]  # type: ignore[attr-defined, index]
