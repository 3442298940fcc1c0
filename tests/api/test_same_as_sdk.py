"""Cloudflare's own SDK and this client ask the same things and get the same answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.api.conftest import DIMENSIONS, ndjson, numbered, values, vector

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


def plain(answer: Any) -> Any:
    """An SDK's answer without what is absent."""
    if isinstance(answer, list):
        return [plain(one) for one in answer]
    return answer.model_dump(mode="json", exclude_none=True) if hasattr(answer, "model_dump") else answer


def test_both_see_the_same_indexes(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
    made = sdk.create(name="films", config={"dimensions": 64, "metric": "euclidean"}, description="d", **account)
    assert client.get_index("films").to_dict() == plain(made)
    assert [one.to_dict() for one in client.list_indexes()] == plain(list(sdk.list(**account)))
    assert client.get_index("books").to_dict() == plain(sdk.get("books", **account))
    sdk.delete("films", **account)
    assert [one.name for one in client.list_indexes()] == ["books"]


def test_both_write_the_same(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
    as_ndjson = {"extra_headers": {"Content-Type": "application/x-ndjson"}}
    client.create_index("films", dimensions=DIMENSIONS, metric="cosine")
    for write in ("insert", "upsert"):
        body = ndjson(vector("a", 1, 2, metadata={"by": write}), vector("b", 3, namespace="n"))
        mine = getattr(client, write)("books", body)
        theirs = getattr(sdk, write)("films", body=body, **as_ndjson, **account)
        assert client.get_index_info("books").processed_up_to_mutation == mine.mutation_id
        assert client.get_index_info("films").processed_up_to_mutation == theirs.mutation_id
        assert client.get_by_ids("books", ["a", "b"]) == client.get_by_ids("films", ["a", "b"])


def test_both_read_the_same(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
    client.create_metadata_index("books", "year", "number")
    client.create_metadata_index("books", "title", "string")
    client.upsert(
        "books",
        ndjson(*(vector(f"v{n}", 1, n / 7, metadata={"year": 2000 + n, "title": "t" * 70}) for n in range(15))),
    )
    ids = [f"v{n}" for n in range(15)]
    assert [one.to_dict() for one in client.get_by_ids("books", ids)] == plain(
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
def test_both_find_the_same(
    client: VectorizeClient, sdk: Any, account: dict[str, str], options: dict[str, Any]
) -> None:
    client.create_metadata_index("books", "year", "number")
    client.list_metadata_indexes("books")  # a read: now it is visible, and covers what is written next
    client.upsert("books", ndjson(*(vector(f"v{n}", 1, n / 7, metadata={"year": 2000 + n}) for n in range(15))))
    client.upsert("books", ndjson(vector("x", 1, 1, namespace="n")))
    mine = client.query("books", vector=values(1, 1), **options)
    rest = {key: value for key, value in options.items() if key != "namespace"}
    extra = {"extra_body": {"namespace": "n"}} if "namespace" in options else {}  # the SDK has no parameter for it
    theirs = sdk.query("books", vector=values(1, 1), **rest, **extra, **account)
    assert mine.to_dict() == plain(theirs)
    assert mine.count > 0


def test_both_list_the_same_page_by_page(
    client: VectorizeClient,
    make_client: Callable[..., VectorizeClient],
    sdk: Any,
    account: dict[str, str],
) -> None:
    client.upsert("books", ndjson(*numbered(25)))
    theirs, cursor = [], None
    while True:
        page = sdk.list_vectors("books", count=10, **({"cursor": cursor} if cursor else {}), **account)
        theirs += [one.id for one in page.vectors]
        cursor = page.next_cursor
        if not page.is_truncated:
            break
    assert list(make_client(limits=Limits(list_page=10)).list_vectors("books")) == theirs


def test_both_delete_the_same(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
    client.upsert("books", ndjson(*numbered(5)))
    client.delete_by_ids("books", ["v0"])
    sdk.delete_by_ids("books", ids=["v1"], **account)
    assert sorted(client.list_vectors("books")) == ["v2", "v3", "v4"]


def test_both_see_the_same_metadata_indexes(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
    sdk.metadata_index.create("books", property_name="year", index_type="number", **account)
    client.create_metadata_index("books", "title", "string")
    theirs = sdk.metadata_index.list("books", **account).metadata_indexes
    assert {one.property_name: one.index_type.lower() for one in theirs} == {
        one.property_name: one.index_type for one in client.list_metadata_indexes("books")
    }
    sdk.metadata_index.delete("books", property_name="year", **account)
    assert [one.property_name for one in client.list_metadata_indexes("books")] == ["title"]


def test_both_are_told_of_the_same_mistakes(client: VectorizeClient, sdk: Any, account: dict[str, str]) -> None:
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
    for mine, theirs in pairs:
        with pytest.raises(cloudflare.APIStatusError) as their_error:
            theirs()
        with pytest.raises(Exception) as my_error:
            mine()
        assert my_error.value.status == their_error.value.status_code  # type: ignore[attr-defined]
        assert my_error.value.code == their_error.value.body["errors"][0]["code"]  # type: ignore[attr-defined, index]
        assert my_error.value.api_message == their_error.value.body["errors"][0]["message"]  # type: ignore[attr-defined, index]
