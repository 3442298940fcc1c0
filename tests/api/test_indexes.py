"""Endpoints for indexes and metadata indexes, with answers of the local Vectorize."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api import models
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import PRESETS
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.api.conftest import FakeTime, ndjson, vector

MakeClient = Callable[..., VectorizeClient]


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
    second, created = client.ensure_index("books", dimensions=32, metric="cosine", description="another")
    assert (second, created) == (first, False)


@pytest.mark.parametrize(
    ("shape", "message"),
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
    client: VectorizeClient, local_vectorize: LocalVectorize, shape: dict[str, Any], message: str
) -> None:
    if shape.get("preset") == "brand/new-model":  # The local Vectorize does not know the preset either.
        local_vectorize.fail("answer", operation="create_index", status=400, code=3002, message="duplicate")
    with pytest.raises(errors.InvalidIndexConfigError) as caught:
        client.ensure_index("books", **shape)
    assert 'Index "books" already exists with 32 dimensions and the metric cosine. ' in str(caught.value)
    assert message in str(caught.value)


LOST_ANSWERS = ["cut_after_body", "cut_during_answer", "not_json"]


@pytest.mark.parametrize("fault", LOST_ANSWERS)
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
    local_vectorize.shift_clock(3_600)  # "books" is an hour old.
    local_vectorize.fail("cut_before", operation="create_index")
    with pytest.raises(errors.IndexExistsError):
        make_client().create_index("books", dimensions=32, metric="cosine")


@pytest.mark.parametrize("fault", ["rate_limit", "throttle_40041"])
def test_create_index_throttled_and_existing_index_raises(
    client: VectorizeClient, local_vectorize: LocalVectorize, fault: str
) -> None:
    local_vectorize.fail(fault, operation="create_index")  # This attempt got an answer, so it did nothing.
    with pytest.raises(errors.IndexExistsError):
        client.create_index("books", dimensions=32, metric="cosine")


def test_create_index_lost_answer_and_other_shape_raises(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    local_vectorize.fail("cut_before", operation="create_index")
    with pytest.raises(errors.IndexExistsError):
        client.create_index("books", dimensions=64, metric="cosine")


@pytest.mark.parametrize("fault", LOST_ANSWERS)
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
        client.delete_index("no-such-index")


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


# ---------------------------------------------------------------- metadata indexes


def test_metadata_index_create_list_and_delete(client: VectorizeClient) -> None:
    assert client.list_metadata_indexes("books") == []
    types: list[models.MetadataIndexType] = ["string", "number", "boolean"]
    for type_ in types:
        assert client.create_metadata_index("books", f"a.{type_}", type_).mutation_id
    assert client.create_metadata_index("books", "a.string", "string").accepted_at  # Creating it again succeeds.
    types_by_property = {index.property_name: index.index_type for index in client.list_metadata_indexes("books")}
    assert types_by_property == {f"a.{type_}": type_ for type_ in types}
    client.delete_metadata_index("books", "a.string")
    assert len(client.list_metadata_indexes("books")) == 2
    with pytest.raises(errors.MetadataIndexNotFoundError):
        client.delete_metadata_index("books", "a.string")
