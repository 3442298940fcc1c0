"""All Vectorize methods of Cloudflare's SDK for Python, against local Vectorize."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import cloudflare
import pytest
from cloudflare import AsyncCloudflare, Cloudflare

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import ndjson, values

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore:Passing raw bytes:DeprecationWarning")]
NDJSON = {"Content-Type": "application/x-ndjson"}


class Sdk:
    """The SDK, with methods that pass the account id."""

    def __init__(self, local: LocalVectorize) -> None:
        self.local = local
        self.client = Cloudflare(api_token=local.token, base_url=local.base_url, max_retries=0)
        self.account = {"account_id": local.account_id}
        self.indexes = self.client.vectorize.indexes

    def create(self, name: str = "books", metric: Any = "cosine") -> Any:
        config: Any = {"dimensions": 32, "metric": metric}
        return self.indexes.create(name=name, config=config, description="of all sorts", **self.account)

    def upsert(self, *vectors: dict[str, Any]) -> str:
        answer = self.indexes.upsert("books", body=ndjson(*vectors), extra_headers=NDJSON, **self.account)
        assert answer is not None
        assert answer.mutation_id is not None
        return answer.mutation_id


@pytest.fixture
def sdk(local_vectorize: LocalVectorize) -> Sdk:
    return Sdk(local_vectorize)


def test_sdk_creates_lists_reads_and_deletes_indexes(sdk: Sdk) -> None:
    created = sdk.create()
    assert created is not None
    assert created.config is not None
    assert (created.name, created.config.dimensions, created.config.metric) == ("books", 32, "cosine")
    assert created.created_on is not None
    assert abs((datetime.now(UTC) - created.created_on).total_seconds()) < 60
    assert [index.name for index in sdk.indexes.list(**sdk.account)] == ["books"]
    fetched = sdk.indexes.get("books", **sdk.account)
    assert fetched == created
    assert sdk.indexes.delete("books", **sdk.account) is None
    assert list(sdk.indexes.list(**sdk.account)) == []
    preset = sdk.indexes.create(name="preset", config={"preset": "@cf/baai/bge-base-en-v1.5"}, **sdk.account)
    assert preset is not None
    assert preset.config is not None
    assert preset.config.dimensions == 768


def test_sdk_inserts_upserts_reads_lists_and_deletes_vectors(sdk: Sdk) -> None:
    sdk.create()
    inserted = sdk.indexes.insert(
        "books",
        body=ndjson({"id": "a", "values": values(1), "metadata": {"n": 1}}),
        extra_headers=NDJSON,
        **sdk.account,
    )
    assert inserted is not None
    assert inserted.mutation_id
    mutation = sdk.upsert({"id": "b", "values": values(0, 1), "namespace": "n"})
    info = sdk.indexes.info("books", **sdk.account)
    assert info is not None
    assert (info.dimensions, info.vector_count, info.processed_up_to_mutation) == (32, 2, mutation)
    assert info.processed_up_to_datetime is not None
    assert sdk.indexes.get_by_ids("books", ids=["a", "b", "c"], **sdk.account) == [
        {"id": "a", "values": values(1), "metadata": {"n": 1}},
        {"id": "b", "values": values(0, 1), "namespace": "n"},
    ]
    page = sdk.indexes.list_vectors("books", count=1, **sdk.account)
    assert page is not None
    assert page.next_cursor is not None
    assert (page.count, page.total_count, page.is_truncated) == (1, 2, True)
    assert page.cursor_expiration_timestamp is not None
    assert page.cursor_expiration_timestamp > datetime.now(UTC)
    rest = sdk.indexes.list_vectors("books", cursor=page.next_cursor, **sdk.account)
    assert rest is not None
    assert [vector.id for vector in page.vectors + rest.vectors] == ["a", "b"]
    deleted = sdk.indexes.delete_by_ids("books", ids=["a"], **sdk.account)
    assert deleted is not None
    assert deleted.mutation_id
    assert [vector.id for vector in sdk.indexes.list_vectors("books", **sdk.account).vectors] == ["b"]  # type: ignore[union-attr]


def test_sdk_query_with_all_options_returns_matches(sdk: Sdk) -> None:
    sdk.create()
    index = sdk.indexes.metadata_index
    assert index.create("books", index_type="number", property_name="n", **sdk.account) is not None
    sdk.indexes.info("books", **sdk.account)
    sdk.upsert(*({"id": f"v{n}", "values": values(1, n), "metadata": {"n": n}, "namespace": "s"} for n in range(9)))
    answer = sdk.indexes.query(
        "books", vector=values(1), top_k=2, filter={"n": {"$gte": 3}}, return_metadata="all", return_values=True,
        extra_body={"namespace": "s"}, **sdk.account,
    )  # fmt: skip
    assert answer is not None
    assert answer.matches is not None
    assert answer.count == 2
    assert [(m.id, m.metadata, m.values, m.namespace) for m in answer.matches] == [
        ("v3", {"n": 3}, values(1, 3), "s"),
        ("v4", {"n": 4}, values(1, 4), "s"),
    ]
    assert answer.matches[0].score == pytest.approx(10**-0.5)


def test_sdk_creates_lists_and_deletes_metadata_indexes(sdk: Sdk) -> None:
    sdk.create()
    index = sdk.indexes.metadata_index
    for type_ in ("string", "number", "boolean"):
        created = index.create("books", index_type=type_, property_name=f"a_{type_}", **sdk.account)
        assert created is not None
        assert created.mutation_id
    listed = index.list("books", **sdk.account)
    assert listed is not None
    assert [(entry.property_name, entry.index_type) for entry in listed.metadata_indexes or []] == [
        ("a_string", "String"),
        ("a_number", "Number"),
        ("a_boolean", "Boolean"),
    ]
    assert index.delete("books", property_name="a_number", **sdk.account) is not None
    remaining = index.list("books", **sdk.account)
    assert remaining is not None
    assert len(remaining.metadata_indexes or []) == 2


def test_sdk_upsert_without_content_type_is_refused_like_by_cloudflare(sdk: Sdk) -> None:
    sdk.create()
    with pytest.raises(cloudflare.BadRequestError) as raised:
        sdk.indexes.upsert("books", body=ndjson({"id": "a", "values": values(1)}), **sdk.account)
    assert raised.value.errors[0].code == 1005


def test_sdk_upsert_with_discard_skips_unparsable_lines(sdk: Sdk) -> None:
    sdk.create()
    body = b"oops\n" + ndjson({"id": "a", "values": values(1)})
    sdk.indexes.upsert("books", body=body, unparsable_behavior="discard", extra_headers=NDJSON, **sdk.account)
    assert sdk.local.count("books") == 1
    with pytest.raises(cloudflare.BadRequestError):
        sdk.indexes.insert("books", body=body, unparsable_behavior="error", extra_headers=NDJSON, **sdk.account)


def test_sdk_raises_its_exceptions_for_errors(sdk: Sdk) -> None:
    with pytest.raises(cloudflare.NotFoundError):
        sdk.indexes.get("missing", **sdk.account)
    sdk.create()
    with pytest.raises(cloudflare.BadRequestError, match="duplicate_name"):
        sdk.create()
    sdk.indexes.delete("books", **sdk.account)
    with pytest.raises(cloudflare.APIStatusError) as raised:
        sdk.indexes.get("books", **sdk.account)
    assert raised.value.status_code == 410
    unauthorized = Cloudflare(api_token="unknown", base_url=sdk.local.base_url, max_retries=0)
    with pytest.raises(cloudflare.AuthenticationError):
        unauthorized.vectorize.indexes.list(**sdk.account)


def test_sdk_with_email_and_key_is_accepted(sdk: Sdk) -> None:
    client = Cloudflare(api_email="me@example.com", api_key=sdk.local.token, base_url=sdk.local.base_url)
    assert list(client.vectorize.indexes.list(**sdk.account)) == []


def test_sdk_retries_succeed_after_transient_faults(sdk: Sdk) -> None:
    client = Cloudflare(api_token=sdk.local.token, base_url=sdk.local.base_url, max_retries=2)
    sdk.local.fail("http_500", operation="list_indexes")
    sdk.local.fail("rate_limit", operation="list_indexes", retry_after=0)
    assert list(client.vectorize.indexes.list(**sdk.account)) == []
    assert [request.status for request in sdk.local.requests()] == [500, 429, 200]


def test_sdk_async_client_behaves_like_the_sync_client(sdk: Sdk) -> None:
    async def query() -> Any:
        async with AsyncCloudflare(api_token=sdk.local.token, base_url=sdk.local.base_url) as client:
            indexes = client.vectorize.indexes
            await indexes.create(name="books", config={"dimensions": 32, "metric": "euclidean"}, **sdk.account)
            body = ndjson({"id": "a", "values": values(1)})
            await indexes.upsert("books", body=body, extra_headers=NDJSON, **sdk.account)
            return await indexes.query("books", vector=values(1), **sdk.account)

    answer = asyncio.run(query())
    assert [(m.id, m.score) for m in answer.matches] == [("a", 0.0)]
