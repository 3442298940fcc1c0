"""The operator that queries an index."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.query import VectorizeQueryOperator
from tests.api.conftest import values, vector
from tests.operators.conftest import Run, fails


@pytest.fixture
def shelf(books: VectorizeHook, local_vectorize: LocalVectorize) -> VectorizeHook:
    """Three books, two of them after the metadata index on their year."""
    books.upsert("books", [vector("old", 1, 0.3, metadata={"year": 1900})])
    books.create_metadata_index("books", "year", "number")
    books.list_metadata_indexes("books")  # a read: now it is visible, and covers what is written next
    books.upsert(
        "books",
        [
            vector("new", 1, 0.1, metadata={"year": 2000, "lost": None}),
            vector("far", 0, 1, metadata={"year": 2001}, namespace="n"),
        ],
    )
    local_vectorize.clear_requests()
    return books


def test_the_nearest_are_returned_best_first_without_what_was_not_asked_for(run: Run, shelf: VectorizeHook) -> None:
    found = run(VectorizeQueryOperator, index_name="books", vector=values(1), top_k=2)
    assert found["count"] == 2
    assert [match["id"] for match in found["matches"]] == ["new", "old"]
    assert [set(match) for match in found["matches"]] == [{"id", "score"}] * 2
    assert found["matches"][0]["score"] > found["matches"][1]["score"]


def test_values_metadata_and_namespace_are_returned_where_asked_for(run: Run, shelf: VectorizeHook) -> None:
    asked = {"index_name": "books", "vector": values(0, 1), "return_values": True, "return_metadata": "all"}
    found = run(VectorizeQueryOperator, **asked)
    assert found["matches"][0] == {
        "id": "far",
        "score": pytest.approx(1),
        "values": values(0, 1),
        "metadata": {"year": 2001},
        "namespace": "n",
    }
    assert found["matches"][2]["metadata"] == {"year": 2000, "lost": None}  # null inside of metadata is a value
    assert json.loads(json.dumps(found)) == found


def test_namespace_filter_and_the_id_of_a_vector_narrow_what_is_found(run: Run, shelf: VectorizeHook) -> None:
    near = run(VectorizeQueryOperator, index_name="books", vector_id="old", top_k=1)
    assert near["matches"][0]["id"] == "old"
    only = run(VectorizeQueryOperator, index_name="books", vector=values(1), namespace="n")
    assert [match["id"] for match in only["matches"]] == ["far"]
    young = run(VectorizeQueryOperator, index_name="books", vector=values(1), filter={"year": {"$gte": 1800}})
    assert [match["id"] for match in young["matches"]] == ["new", "far"]


def test_no_match_is_a_success(run: Run, shelf: VectorizeHook) -> None:
    found = run(VectorizeQueryOperator, index_name="books", vector=values(1), filter={"not-indexed": 1})
    assert found == {"count": 0, "matches": []}


@pytest.mark.parametrize(
    ("parameters", "cls"),
    [
        ({"vector": values(1), "top_k": 101}, errors.InvalidQueryError),
        ({"vector": values(1), "top_k": 51, "return_metadata": "all"}, errors.InvalidQueryError),
        ({"vector": values(1), "filter": {"year": {"gte": 1900}}}, errors.InvalidQueryError),
        ({}, errors.ConfigError),
        ({"vector": values(1), "vector_id": "old"}, errors.ConfigError),
    ],
)
def test_a_query_over_a_cap_fails_before_the_call(
    run: Run, shelf: VectorizeHook, local_vectorize: LocalVectorize, parameters: dict[str, Any], cls: type[Exception]
) -> None:
    with fails(cls):
        run(VectorizeQueryOperator, index_name="books", **parameters)
    assert local_vectorize.requests() == []


def test_a_vector_of_another_model_is_refused_with_both_dimensions(run: Run, shelf: VectorizeHook) -> None:
    with fails(errors.InvalidQueryError, match="expected 32 dimensions, and got 3"):
        run(VectorizeQueryOperator, index_name="books", vector=[1, 2, 3])


def test_filter_namespace_and_id_are_templates_and_the_vector_may_come_from_a_task(
    run: Run, shelf: VectorizeHook
) -> None:
    found = run(
        VectorizeQueryOperator,
        {"name": "n", "index": "books"},
        index_name="{{ index }}",
        vector=values(1),
        namespace="{{ name }}",
        filter={"year": {"$in": [2001]}},
    )
    assert [match["id"] for match in found["matches"]] == ["far"]
    assert "vector" in VectorizeQueryOperator.template_fields
    assert VectorizeQueryOperator.template_fields_renderers["vector"] == "json"
