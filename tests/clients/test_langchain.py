"""All functions of the vector store of langchain-cloudflare that do not need D1, against local Vectorize."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import requests
from langchain_cloudflare.vectorstores import CloudflareVectorize
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import DIMENSIONS

pytestmark = pytest.mark.clients
EMBEDDING = DeterministicFakeEmbedding(size=DIMENSIONS)
TEXTS = ["apple", "pear", "plum"]


def local_store_class(local: LocalVectorize) -> type[CloudflareVectorize]:
    """Return a store class that uses local Vectorize, because ``from_texts`` does not pass on a base URL."""

    class LocalStore(CloudflareVectorize):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options |= {"base_url": local.base_url, "default_wait_seconds": 0.01}
            super().__init__(*arguments, **options)

    return LocalStore


@pytest.fixture
def store(local_vectorize: LocalVectorize) -> CloudflareVectorize:
    options = {"account_id": local_vectorize.account_id, "api_token": local_vectorize.token}
    return local_store_class(local_vectorize)(EMBEDDING, index_name="books", **options)


def test_langchain_creates_describes_and_deletes_an_index(store: CloudflareVectorize) -> None:
    created = store.create_index(dimensions=DIMENSIONS, metric="cosine", description="of all sorts", wait=True)
    assert created["name"] == "books"
    assert store.get_index() == created
    assert store.list_indexes() == [created]
    assert store.get_index_info() == {"dimensions": DIMENSIONS, "vectorCount": 0}
    with pytest.raises(ValueError, match="already exists"):
        store.create_index(dimensions=DIMENSIONS)
    store.delete_index()
    assert store.list_indexes() == []
    # The store treats 410 like 404.
    store.create_index(dimensions=DIMENSIONS)


def test_langchain_adds_searches_reads_and_deletes_texts(store: CloudflareVectorize) -> None:
    store.create_index(dimensions=DIMENSIONS)
    metadatas = [{"n": n} for n in range(3)]
    assert store.add_texts(TEXTS, metadatas, ids=["a", "b", "c"], namespaces=["x", "x", "y"], wait=True) == [
        "a",
        "b",
        "c",
    ]
    document, score = store.similarity_search_with_score("pear", k=1)[0]
    assert (document.id, document.metadata) == ("b", {"n": 1, "_namespace": "x"})
    assert score == pytest.approx(1.0)
    assert [document.id for document in store.similarity_search("plum", namespace="y")] == ["c"]
    valued = store.similarity_search("apple", return_values=True, return_metadata="none")[0]
    assert valued.metadata["_values"] == pytest.approx(EMBEDDING.embed_query("apple"), rel=1e-6)
    assert [document.id for document in store.get_by_ids(["c", "missing", "a"])] == ["c", "a"]
    assert store.delete(["a"], wait=True)
    assert store.get_by_ids(["a"]) == []
    assert store.get_index_info()["vectorCount"] == 2


def test_langchain_insert_keeps_and_upsert_replaces_a_document(store: CloudflareVectorize) -> None:
    store.create_index(dimensions=DIMENSIONS)
    store.add_texts(["apple"], [{"n": 1}], ids=["a"])
    store.add_texts(["pear"], [{"n": 2}], ids=["a"])
    assert store.get_by_ids(["a"])[0].metadata["n"] == 1
    store.add_documents([Document("pear", id="a", metadata={"n": 2})], upsert=True)
    assert store.get_by_ids(["a"])[0].metadata["n"] == 2


def test_langchain_filters_by_metadata_index(store: CloudflareVectorize) -> None:
    store.create_index(dimensions=DIMENSIONS)
    store.create_metadata_index("n", "number", wait=True)
    assert store.list_metadata_indexes() == [{"propertyName": "n", "indexType": "Number"}]
    store.add_texts(TEXTS, [{"n": n} for n in range(3)], ids=["a", "b", "c"], wait=True)
    assert {document.id for document in store.similarity_search("apple", md_filter={"n": {"$gte": 1}})} == {"b", "c"}
    assert [document.id for document in store.similarity_search("apple", md_filter={"n": 2})] == ["c"]


def test_langchain_delete_metadata_index_sends_wrong_key_and_is_refused(store: CloudflareVectorize) -> None:
    store.create_index(dimensions=DIMENSIONS)
    store.create_metadata_index("n", "number")
    with pytest.raises(requests.HTTPError, match="400"):
        store.delete_metadata_index("n")


def test_langchain_creates_a_store_from_texts_and_documents(local_vectorize: LocalVectorize) -> None:
    options = {
        "account_id": local_vectorize.account_id,
        "api_token": local_vectorize.token,
        "dimensions": DIMENSIONS,
    }
    store_class = local_store_class(local_vectorize)
    store_class.from_texts(TEXTS, EMBEDDING, index_name="texts", **options)
    assert local_vectorize.count("texts") == 3
    documents = [Document(text, id=text, metadata={"length": len(text)}) for text in TEXTS]
    store_class.from_documents(documents, EMBEDDING, index_name="documents", **options)
    assert local_vectorize.count("documents") == 3
    assert set(local_vectorize.dump("documents")) == set(TEXTS)


def test_langchain_retriever_finds_the_nearest_document(store: CloudflareVectorize) -> None:
    store.create_index(dimensions=DIMENSIONS)
    store.add_texts(TEXTS, ids=["a", "b", "c"])
    assert store.as_retriever(search_kwargs={"k": 1}).invoke("plum")[0].id == "c"


def test_langchain_wait_times_out_when_batch_has_another_last_mutation(
    store: CloudflareVectorize, local_vectorize: LocalVectorize
) -> None:
    store.create_index(dimensions=DIMENSIONS)
    local_vectorize.hold()
    mutation = requests.post(
        store._get_url("delete_by_ids", "books"), headers=store._headers, json={"ids": ["a"]}, timeout=10
    ).json()["result"]["mutationId"]
    local_vectorize.foreign_mutation("books")
    local_vectorize.release()
    with pytest.raises(TimeoutError):
        store._poll_mutation_status("books", mutation, max_wait_seconds=1)


def test_langchain_async_methods_behave_like_the_sync_methods(store: CloudflareVectorize) -> None:
    async def call_all_methods() -> None:
        await store.acreate_index(dimensions=DIMENSIONS, wait=True)
        assert len(await store.alist_indexes()) == 1
        assert (await store.aget_index())["name"] == "books"
        await store.acreate_metadata_index("n", "number", wait=True)
        assert len(await store.alist_metadata_indexes()) == 1
        await store.aadd_texts(TEXTS, [{"n": n} for n in range(3)], ids=["a", "b", "c"], wait=True)
        await store.aadd_documents([Document("fig", id="d", metadata={"n": 3})], upsert=True, wait=True)
        assert (await store.aget_index_info())["vectorCount"] == 4
        assert [document.id for document in await store.aget_by_ids(["d"])] == ["d"]
        assert (await store.asimilarity_search("fig", md_filter={"n": {"$gt": 1}}))[0].id == "d"
        scored = await store.asimilarity_search_with_score("fig", k=1)
        assert scored[0][1] == pytest.approx(1.0)
        assert await store.adelete(["d"], wait=True)
        await store.adelete_metadata_index("n")
        await store.adelete_index()

    asyncio.run(call_all_methods())
