"""Endpoints for vectors, queries and listings, with answers of the local Vectorize."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api import models
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.api.conftest import ndjson, numbered_vectors, values, vector

MakeClient = Callable[..., VectorizeClient]


def test_get_by_ids_sends_20_ids_per_request(client: VectorizeClient, local_vectorize: LocalVectorize) -> None:
    client.upsert("books", ndjson(*numbered_vectors(45)))
    results = client.get_by_ids("books", [f"v{n}" for n in range(45)] + ["missing"])
    assert sorted(result.id for result in results) == sorted(f"v{n}" for n in range(45))
    assert len(local_vectorize.requests("get_by_ids")) == 3
    assert results[0].values[0] == 1


def test_get_by_ids_returns_all_fields(client: VectorizeClient) -> None:
    metadata = {"k": [1, {"x": "\u00e4"}], "none": None}
    client.upsert("books", ndjson(vector("a", 0.5, namespace="n", metadata=metadata)))
    (stored,) = client.get_by_ids("books", ["a"])
    assert stored == models.Vector(id="a", values=values(0.5), namespace="n", metadata=metadata)
    assert stored.to_dict() == {"id": "a", "values": values(0.5), "namespace": "n", "metadata": metadata}


def test_insert_skips_and_upsert_overwrites_existing_vectors(client: VectorizeClient) -> None:
    client.insert("books", ndjson(vector("a", 1)))
    client.insert("books", ndjson(vector("a", 2)))
    assert client.get_by_ids("books", ["a"])[0].values[0] == 1
    client.upsert("books", ndjson(vector("a", 3)))
    assert client.get_by_ids("books", ["a"])[0].values[0] == 3


def test_insert_drops_unparsable_lines_only_with_discard(client: VectorizeClient) -> None:
    body = ndjson(vector("a", 1)) + b"not json\n"
    with pytest.raises(errors.RefusedVectorError):
        client.insert("books", body)
    client.insert("books", body, unparsable_behavior="discard")
    assert [result.id for result in client.get_by_ids("books", ["a"])] == ["a"]


def test_upsert_body_in_pieces_is_sent_again_on_retry(client: VectorizeClient, local_vectorize: LocalVectorize) -> None:
    content = ndjson(*numbered_vectors(100))

    class Pieces:
        def __len__(self) -> int:
            return len(content)

        def __iter__(self) -> Any:
            return (content[at : at + 1_000] for at in range(0, len(content), 1_000))

    local_vectorize.fail("cut_during_body", operation="upsert", after_bytes=2_000)
    client.upsert("books", Pieces())
    assert local_vectorize.count("books") == 100
    assert client.retries == 1


def test_delete_by_ids_returns_one_mutation_per_100_ids(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    client.upsert("books", ndjson(*numbered_vectors(250)))
    mutations = client.delete_by_ids("books", (f"v{n}" for n in range(240)))
    assert len({mutation.mutation_id for mutation in mutations}) == 3
    assert all(mutation.accepted_at for mutation in mutations)
    assert local_vectorize.count("books") == 10


def test_get_and_delete_without_ids_send_nothing(client: VectorizeClient, local_vectorize: LocalVectorize) -> None:
    local_vectorize.clear_requests()
    assert client.get_by_ids("books", []) == []
    assert client.delete_by_ids("books", []) == []
    assert local_vectorize.requests() == []


def test_delete_by_ids_with_a_string_raises(client: VectorizeClient) -> None:
    with pytest.raises(errors.ConfigError, match="list of strings"):
        client.delete_by_ids("books", "abc")


def test_query_returns_nearest_vectors_with_requested_fields(client: VectorizeClient) -> None:
    client.upsert("books", ndjson(vector("a", 1, 0, metadata={"x": 1}, namespace="n"), vector("b", 1, 1)))
    results = client.query("books", vector=values(1, 0.1))
    assert (results.count, [result.id for result in results.matches]) == (2, ["a", "b"])
    assert results.matches[0].to_dict().keys() == {"id", "score", "namespace"}
    full = client.query("books", vector_id="a", top_k=1, return_values=True, return_metadata="all").matches[0]
    assert full.score == pytest.approx(1)
    assert (full.values, full.metadata, full.namespace) == (values(1), {"x": 1}, "n")
    assert client.query("books", vector=values(1), namespace="n").count == 1


def test_query_filter_finds_vectors_written_after_metadata_index(client: VectorizeClient) -> None:
    client.upsert("books", ndjson(vector("before", 1, metadata={"year": 2020})))
    client.create_metadata_index("books", "year", "number")
    client.list_metadata_indexes("books")  # Reading makes it visible, so that it covers later writes.
    client.upsert("books", ndjson(vector("after", 1, metadata={"year": 2020})))
    results = client.query("books", vector=values(1), filter={"year": {"$gte": 2020}})
    assert [result.id for result in results.matches] == ["after"]


def test_query_accepts_numpy_vector(client: VectorizeClient) -> None:
    client.upsert("books", ndjson(vector("a", 1)))
    assert client.query("books", vector=np.array(values(1), np.float32)).count == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "cls"),
    [
        ({}, errors.ConfigError),
        ({"vector": values(1), "vector_id": "a"}, errors.ConfigError),
        ({"vector": values(1), "top_k": 0}, errors.InvalidQueryError),
        ({"vector": values(1), "top_k": 101}, errors.InvalidQueryError),
        ({"vector": values(1), "top_k": 51, "return_values": True}, errors.InvalidQueryError),
        ({"vector": values(1), "top_k": 51, "return_metadata": "all"}, errors.InvalidQueryError),
        ({"vector": values(1), "filter": {"k": "x" * 2_048}}, errors.InvalidQueryError),
        ({"vector": values(1), "filter": {"k": object()}}, errors.ConfigError),
        ({"vector": values(float("nan"))}, errors.InvalidQueryError),
        ({"vector": values(float("inf"))}, errors.InvalidQueryError),
        ({"vector": ["one", "two"]}, errors.InvalidQueryError),
    ],
)
def test_query_invalid_arguments_send_nothing(
    client: VectorizeClient, local_vectorize: LocalVectorize, options: dict[str, Any], cls: type[Exception]
) -> None:
    local_vectorize.clear_requests()
    with pytest.raises(cls):
        client.query("books", **options)
    assert local_vectorize.requests() == []


def test_query_top_k_at_its_limits_succeeds(client: VectorizeClient) -> None:
    client.query("books", vector=values(1), top_k=100, return_metadata="indexed")
    client.query("books", vector=values(1), top_k=50, return_metadata="all", return_values=True)


# ---------------------------------------------------------------- listing


def test_list_vectors_reads_all_pages(make_client: MakeClient, local_vectorize: LocalVectorize, client: Any) -> None:
    client.upsert("books", ndjson(*numbered_vectors(25)))
    client_with_small_pages = make_client(limits=Limits(list_page=10))
    assert sorted(client_with_small_pages.list_vectors("books")) == sorted(f"v{n}" for n in range(25))
    assert len(local_vectorize.requests("list_vectors")) == 3
    assert list(client.list_vectors("books")) == list(client_with_small_pages.list_vectors("books"))


def test_list_page_returns_counts_and_cursor(client: VectorizeClient) -> None:
    client.upsert("books", ndjson(*numbered_vectors(25)))
    page = client.list_page("books", count=10)
    assert (page.count, page.total_count, page.is_truncated, len(page.ids)) == (10, 25, True, 10)
    assert page.cursor_expiration_timestamp is not None
    rest = client.list_page("books", count=100, cursor=page.next_cursor)
    assert (rest.count, rest.is_truncated, rest.next_cursor) == (15, False, None)


def test_list_vectors_empty_index_yields_nothing(client: VectorizeClient) -> None:
    assert list(client.list_vectors("books")) == []


def test_list_vectors_expired_cursor_starts_over_without_duplicates(
    make_client: MakeClient, local_vectorize: LocalVectorize, client: VectorizeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.upsert("books", ndjson(*numbered_vectors(25)))
    listing = make_client(limits=Limits(list_page=10)).list_vectors("books")
    ids = [next(listing) for _ in range(12)]
    local_vectorize.shift_clock(100_000)  # The caller takes more than a day to read the second page.
    client.upsert("books", ndjson(vector("new", 1)))
    with caplog.at_level(logging.WARNING):
        ids += listing
    assert sorted(ids) == sorted([f"v{n}" for n in range(25)] + ["new"])
    assert 'Starting the listing of index "books" over after 20 ids' in caplog.text


def test_list_vectors_expired_again_without_new_ids_raises(
    make_client: MakeClient, local_vectorize: LocalVectorize, client: VectorizeClient
) -> None:
    client.upsert("books", ndjson(*numbered_vectors(25)))
    expired = {"operation": "list_vectors", "status": 400, "code": 40020, "message": "invalid cursor: it has expired"}
    local_vectorize.fail("answer", after=1, **expired)
    local_vectorize.fail("answer", after=2, **expired)
    with pytest.raises(errors.CursorExpiredError):
        list(make_client(limits=Limits(list_page=10)).list_vectors("books"))


def test_list_vectors_truncated_page_without_cursor_raises(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    text = '{"success": true, "result": {"count": 1, "totalCount": 2, "isTruncated": true, "vectors": [{"id": "a"}]}}'
    local_vectorize.fail("answer", operation="list_vectors", status=200, text=text)
    with pytest.raises(errors.MalformedAnswerError):
        list(client.list_vectors("books"))
