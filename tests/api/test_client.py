"""Each endpoint, as the local Vectorize answers it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api import models
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import PRESETS, Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.api.conftest import FakeTime, ndjson, numbered_vectors, values, vector

MakeClient = Callable[..., VectorizeClient]

# ---------------------------------------------------------------- indexes


def test_index_create_list_get_and_delete(make_client: MakeClient) -> None:
    client = make_client()
    index = client.create_index("books", dimensions=64, metric="dot-product", description="all of them")
    assert (index.name, index.config.dimensions, index.config.metric) == ("books", 64, "dot-product")
    assert index.description == "all of them"
    assert index.created_on is not None
    assert abs(datetime.now(UTC) - index.created_on) < timedelta(minutes=5)
    assert client.list_indexes() == [index]
    assert client.get_index("books") == index
    client.delete_index("books")
    assert client.list_indexes() == []
    with pytest.raises(errors.IndexDeletedError):
        client.get_index("books")


@pytest.mark.parametrize("preset", PRESETS)
def test_create_index_preset_has_documented_dimensions(make_client: MakeClient, preset: str) -> None:
    client = make_client()
    assert client.create_index("books", preset=preset).config.dimensions == PRESETS[preset]
    assert client.ensure_index("books", preset=preset)[1] is False


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"dimensions": 32},
        {"metric": "cosine"},
        {"dimensions": 32, "metric": "cosine", "preset": "openai/text-embedding-ada-002"},
        {"metric": "cosine", "preset": "openai/text-embedding-ada-002"},
    ],
)
def test_create_index_incomplete_or_double_shape_sends_nothing(
    make_client: MakeClient, local_vectorize: LocalVectorize, shape: dict[str, Any]
) -> None:
    with pytest.raises(errors.ConfigError):
        make_client().create_index("books", **shape)
    assert local_vectorize.requests() == []


def test_create_index_with_existing_name_raises(client: VectorizeClient) -> None:
    with pytest.raises(errors.IndexExistsError):
        client.create_index("books", dimensions=32, metric="cosine")


def test_ensure_index_matching_index_is_unchanged(make_client: MakeClient) -> None:
    client = make_client()
    first, created = client.ensure_index("books", dimensions=32, metric="cosine")
    assert created
    again, created = client.ensure_index("books", dimensions=32, metric="cosine", description="another")
    assert (again, created) == (first, False)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (
            {"dimensions": 64, "metric": "cosine"},
            "The requested index has 64 dimensions and the metric cosine. Neither can be changed",
        ),
        (
            {"dimensions": 32, "metric": "euclidean"},
            "The requested index has 32 dimensions and the metric euclidean. Neither can be changed",
        ),
        ({"preset": "@cf/baai/bge-base-en-v1.5"}, "The requested index has 768 dimensions. Neither can be changed"),
        ({"preset": "brand/new-model"}, "The dimensions of the preset brand/new-model are unknown"),
    ],
)
def test_ensure_index_mismatch_raises(
    client: VectorizeClient, local_vectorize: LocalVectorize, shape: dict[str, Any], said: str
) -> None:
    if shape.get("preset") == "brand/new-model":  # the local one does not know it either, and would say so first
        local_vectorize.fail("answer", operation="create_index", status=400, code=3002, message="duplicate")
    with pytest.raises(errors.InvalidIndexConfigError) as caught:
        client.ensure_index("books", **shape)
    assert 'Index "books" already exists with 32 dimensions and the metric cosine. ' in str(caught.value)
    assert said in str(caught.value)


LOST = ["cut_after_body", "cut_during_answer", "not_json"]


@pytest.mark.parametrize("fault", LOST)
def test_create_index_lost_answer_succeeds(
    make_client: MakeClient, local_vectorize: LocalVectorize, fault: str
) -> None:
    client = make_client()
    local_vectorize.fail(fault, operation="create_index")
    assert client.create_index("books", dimensions=32, metric="cosine").name == "books"
    local_vectorize.fail(fault, operation="create_index")
    assert client.ensure_index("films", dimensions=32, metric="cosine")[1] is True


def test_create_index_lost_answer_and_older_index_raises(
    client: VectorizeClient, local_vectorize: LocalVectorize, make_client: MakeClient, fake_time: FakeTime
) -> None:
    fake_time.now = 3_600.0
    local_vectorize.shift_clock(3_600)  # "books" is an hour old
    local_vectorize.fail("cut_before", operation="create_index")
    with pytest.raises(errors.IndexExistsError):
        make_client().create_index("books", dimensions=32, metric="cosine")


@pytest.mark.parametrize("fault", ["rate_limit", "throttle_40041"])
def test_create_index_throttled_and_existing_index_raises(
    client: VectorizeClient, local_vectorize: LocalVectorize, fault: str
) -> None:
    local_vectorize.fail(fault, operation="create_index")  # this attempt was heard of: it did nothing
    with pytest.raises(errors.IndexExistsError):
        client.create_index("books", dimensions=32, metric="cosine")


def test_create_index_lost_answer_and_other_shape_raises(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    local_vectorize.fail("cut_before", operation="create_index")
    with pytest.raises(errors.IndexExistsError):
        client.create_index("books", dimensions=64, metric="cosine")


@pytest.mark.parametrize("fault", LOST)
def test_delete_index_lost_answer_succeeds(
    client: VectorizeClient, local_vectorize: LocalVectorize, fault: str
) -> None:
    local_vectorize.fail(fault, operation="delete_index")
    client.delete_index("books")
    assert client.list_indexes() == []


def test_delete_index_missing_index_raises(client: VectorizeClient) -> None:
    client.delete_index("books")
    with pytest.raises(errors.IndexDeletedError):
        client.delete_index("books")
    with pytest.raises(errors.IndexNotFoundError):
        client.delete_index("never-there")


def test_delete_index_204_succeeds(client: VectorizeClient, local_vectorize: LocalVectorize) -> None:
    local_vectorize.fail("answer", operation="delete_index", status=204, text="")
    client.delete_index("books")


def test_get_index_info_has_watermark_after_first_mutation(client: VectorizeClient) -> None:
    info = client.get_index_info("books")
    assert (info.dimensions, info.vector_count) == (32, 0)
    assert info.processed_up_to_mutation is None
    assert info.processed_up_to_datetime is None
    mutation = client.upsert("books", ndjson(vector("a", 1)))
    info = client.get_index_info("books")
    assert info.processed_up_to_mutation == mutation.mutation_id
    assert info.processed_up_to_datetime is not None
    assert info.answered_at is not None


# ---------------------------------------------------------------- vectors


def test_get_by_ids_sends_20_ids_per_request(client: VectorizeClient, local_vectorize: LocalVectorize) -> None:
    client.upsert("books", ndjson(*numbered_vectors(45)))
    found = client.get_by_ids("books", [f"v{n}" for n in range(45)] + ["missing"])
    assert sorted(one.id for one in found) == sorted(f"v{n}" for n in range(45))
    assert len(local_vectorize.requests("get_by_ids")) == 3
    assert found[0].values[0] == 1


def test_get_by_ids_returns_all_fields(client: VectorizeClient) -> None:
    metadata = {"k": [1, {"x": "\u00e4"}], "none": None}
    client.upsert("books", ndjson(vector("a", 0.5, namespace="n", metadata=metadata)))
    (found,) = client.get_by_ids("books", ["a"])
    assert found == models.Vector(id="a", values=values(0.5), namespace="n", metadata=metadata)
    assert found.to_dict() == {"id": "a", "values": values(0.5), "namespace": "n", "metadata": metadata}


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
    assert [one.id for one in client.get_by_ids("books", ["a"])] == ["a"]


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
    assert len({one.mutation_id for one in mutations}) == 3
    assert all(one.accepted_at for one in mutations)
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
    found = client.query("books", vector=values(1, 0.1))
    assert (found.count, [one.id for one in found.matches]) == (2, ["a", "b"])
    assert found.matches[0].to_dict().keys() == {"id", "score", "namespace"}
    full = client.query("books", vector_id="a", top_k=1, return_values=True, return_metadata="all").matches[0]
    assert full.score == pytest.approx(1)
    assert (full.values, full.metadata, full.namespace) == (values(1), {"x": 1}, "n")
    assert client.query("books", vector=values(1), namespace="n").count == 1


def test_query_filter_finds_vectors_written_after_metadata_index(client: VectorizeClient) -> None:
    client.upsert("books", ndjson(vector("before", 1, metadata={"year": 2020})))
    client.create_metadata_index("books", "year", "number")
    client.list_metadata_indexes("books")  # a read: now it is visible, and covers what is written next
    client.upsert("books", ndjson(vector("after", 1, metadata={"year": 2020})))
    found = client.query("books", vector=values(1), filter={"year": {"$gte": 2020}})
    assert [one.id for one in found.matches] == ["after"]


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
    small = make_client(limits=Limits(list_page=10))
    assert sorted(small.list_vectors("books")) == sorted(f"v{n}" for n in range(25))
    assert len(local_vectorize.requests("list_vectors")) == 3
    assert list(client.list_vectors("books")) == list(small.list_vectors("books"))


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
    found = [next(listing) for _ in range(12)]
    local_vectorize.shift_clock(100_000)  # whoever reads the ids takes more than a day over the second page
    client.upsert("books", ndjson(vector("new", 1)))
    with caplog.at_level(logging.WARNING):
        found += listing
    assert sorted(found) == sorted([f"v{n}" for n in range(25)] + ["new"])
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


# ---------------------------------------------------------------- metadata indexes


def test_metadata_index_create_list_and_delete(client: VectorizeClient) -> None:
    assert client.list_metadata_indexes("books") == []
    types: list[models.MetadataIndexType] = ["string", "number", "boolean"]
    for type_ in types:
        assert client.create_metadata_index("books", f"a.{type_}", type_).mutation_id
    assert client.create_metadata_index("books", "a.string", "string").accepted_at  # once more is no error
    found = {one.property_name: one.index_type for one in client.list_metadata_indexes("books")}
    assert found == {f"a.{type_}": type_ for type_ in types}
    client.delete_metadata_index("books", "a.string")
    assert len(client.list_metadata_indexes("books")) == 2
    with pytest.raises(errors.MetadataIndexNotFoundError):
        client.delete_metadata_index("books", "a.string")


# ---------------------------------------------------------------- errors, caused


def causes(
    client: VectorizeClient, make: MakeClient
) -> dict[str, tuple[Callable[[], Any], type[errors.ApiError], int]]:
    loose = make(limits=Limits(ids_per_get=1_000, ids_per_delete=1_000, top_k=1_000, top_k_full=1_000))
    ids = [f"v{n}" for n in range(150)]
    path = "/indexes/books/upsert"
    return {
        "body of a type unknown": (
            lambda: client.send("POST", path, b"x", content_type="text/plain", write=True),
            errors.UnknownContentTypeError,
            1005,
        ),
        "no such index": (lambda: client.get_index("films"), errors.IndexNotFoundError, 3000),
        "dimensions out of range": (
            lambda: client.create_index("films", dimensions=31, metric="cosine"),
            errors.InvalidIndexConfigError,
            3001,
        ),
        "name taken": (
            lambda: client.create_index("books", dimensions=32, metric="cosine"),
            errors.IndexExistsError,
            3002,
        ),
        "no metadata index": (
            lambda: client.delete_metadata_index("books", "x"),
            errors.MetadataIndexNotFoundError,
            40005,
        ),
        "query of other dimensions": (lambda: client.query("books", vector=[1.0]), errors.InvalidQueryError, 40006),
        "too many ids to get": (lambda: loose.get_by_ids("books", ids), errors.TooManyIdsError, 40007),
        "too many ids to delete": (lambda: loose.delete_by_ids("books", ids), errors.TooManyIdsError, 40007),
        "id too long": (lambda: client.get_by_ids("books", ["x" * 65]), errors.RefusedVectorError, 40008),
        "vector of other dimensions": (
            lambda: client.upsert("books", ndjson({"id": "a", "values": [1, 2]})),
            errors.RefusedVectorError,
            40012,
        ),
        "metadata too large": (
            lambda: client.upsert("books", ndjson(vector("a", 1, metadata={"k": "x" * 10_240}))),
            errors.RefusedVectorError,
            40016,
        ),
        "bad metadata key": (
            lambda: client.upsert("books", ndjson(vector("a", 1, metadata={"$k": 1}))),
            errors.RefusedVectorError,
            40018,
        ),
        "a line that is no vector": (lambda: client.upsert("books", b"nonsense"), errors.RefusedVectorError, 40023),
        "topK over the cap": (
            lambda: loose.query("books", vector=values(1), top_k=51, return_values=True),
            errors.InvalidQueryError,
            40025,
        ),
        "a body that is no JSON": (
            lambda: client.send("POST", "/indexes/books/query", b"{"),
            errors.InvalidRequestError,
            40026,
        ),
        "malformed token": (lambda: make(secret="a!b").list_indexes(), errors.AuthError, 6003),
        "wrong token": (lambda: make(secret="wrong").list_indexes(), errors.AuthError, 10000),
        "wrong account": (lambda: make(account_id="f" * 32).list_indexes(), errors.AuthError, 9109),
    }


def test_api_errors_have_class_code_and_facts(
    client: VectorizeClient, make_client: MakeClient, local_vectorize: LocalVectorize
) -> None:
    for name, (cause, cls, code) in causes(client, make_client).items():
        with pytest.raises(errors.ApiError) as caught:
            cause()
        error = caught.value
        assert (type(error), error.code) == (cls, code), name
        assert error.status, name
        assert error.api_message, name
        assert error.method in ("GET", "POST"), name
        assert "/vectorize/v2/indexes" in error.path, name
        assert (error.ray or "").endswith("-LCL"), name
    client.delete_index("books")
    with pytest.raises(errors.IndexDeletedError) as deleted:
        client.get_index_info("books")
    assert (deleted.value.status, deleted.value.code) == (410, 3005)


@pytest.mark.parametrize(
    ("fault", "cls", "status"),
    [
        ("rate_limit", errors.RateLimitedError, 429),
        ("throttle_40041", errors.RateLimitedError, 400),
        ("http_500", errors.ServerError, 500),
        ("gateway_504_html", errors.ServerError, 504),
        ("gateway_524_html", errors.ServerError, 524),
        ("cut_before", errors.NoAnswerError, None),
        ("cut_during_body", errors.NoAnswerError, None),
        ("cut_after_body", errors.NoAnswerError, None),
        ("cut_during_answer", errors.NoAnswerError, None),
        ("not_json", errors.MalformedAnswerError, 200),
        ("no_mutation_id", errors.MalformedAnswerError, 200),
    ],
)
def test_upsert_transient_fault_is_retried_then_raised(
    client: VectorizeClient,
    make_client: MakeClient,
    local_vectorize: LocalVectorize,
    fault: str,
    cls: type[errors.ApiError],
    status: int | None,
) -> None:
    local_vectorize.fail(fault, operation="upsert", times=2)
    client.upsert("books", ndjson(vector("a", 1)))
    assert client.retries == 2
    local_vectorize.fail(fault, operation="upsert", times=None)
    patient = make_client(retry=RetryPolicy(total=20))
    with pytest.raises(cls) as caught:
        patient.upsert("books", ndjson(vector("a", 1)))
    assert type(caught.value) is cls
    assert caught.value.status == status
    assert "Gave up after" in str(caught.value)
    assert "<html" not in str(caught.value)
