"""Tests of the operator that queries an index."""

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
    """Write three books, two of them after the metadata index on their year is visible."""
    books.upsert("books", [vector("old", 1, 0.3, metadata={"year": 1900})])
    books.create_metadata_index("books", "year", "number")
    books.list_metadata_indexes(
        "books"
    )  # this read makes the metadata index visible, so it covers the following writes
    books.upsert(
        "books",
        [
            vector("new", 1, 0.1, metadata={"year": 2000, "lost": None}),
            vector("far", 0, 1, metadata={"year": 2001}, namespace="n"),
        ],
    )
    local_vectorize.clear_requests()
    return books


def test_query_returns_ids_and_scores_best_match_first(run: Run, shelf: VectorizeHook) -> None:
    result = run(VectorizeQueryOperator, index_name="books", vector=values(1), top_k=2)
    assert result["count"] == 2
    assert [match["id"] for match in result["matches"]] == ["new", "old"]
    assert [set(match) for match in result["matches"]] == [{"id", "score"}] * 2
    assert result["matches"][0]["score"] > result["matches"][1]["score"]


def test_query_returns_values_metadata_and_namespace_if_requested(run: Run, shelf: VectorizeHook) -> None:
    parameters = {"index_name": "books", "vector": values(0, 1), "return_values": True, "return_metadata": "all"}
    result = run(VectorizeQueryOperator, **parameters)
    assert result["matches"][0] == {
        "id": "far",
        "score": pytest.approx(1),
        "values": values(0, 1),
        "metadata": {"year": 2001},
        "namespace": "n",
    }
    assert result["matches"][2]["metadata"] == {"year": 2000, "lost": None}  # null is a valid value in metadata
    assert json.loads(json.dumps(result)) == result


def test_query_by_id_namespace_or_filter_returns_the_matching_vectors(run: Run, shelf: VectorizeHook) -> None:
    near = run(VectorizeQueryOperator, index_name="books", vector_id="old", top_k=1)
    assert near["matches"][0]["id"] == "old"
    only = run(VectorizeQueryOperator, index_name="books", vector=values(1), namespace="n")
    assert [match["id"] for match in only["matches"]] == ["far"]
    young = run(VectorizeQueryOperator, index_name="books", vector=values(1), filter={"year": {"$gte": 1800}})
    assert [match["id"] for match in young["matches"]] == ["new", "far"]


def test_query_without_matches_succeeds(run: Run, shelf: VectorizeHook) -> None:
    result = run(VectorizeQueryOperator, index_name="books", vector=values(1), filter={"not-indexed": 1})
    assert result == {"count": 0, "matches": []}


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"vector": values(1), "top_k": 101}, errors.InvalidQueryError),
        ({"vector": values(1), "top_k": 51, "return_metadata": "all"}, errors.InvalidQueryError),
        ({"vector": values(1), "filter": {"year": {"gte": 1900}}}, errors.InvalidQueryError),
        ({}, errors.ConfigError),
        ({"vector": values(1), "vector_id": "old"}, errors.ConfigError),
    ],
)
def test_query_with_invalid_parameters_sends_nothing(
    run: Run, shelf: VectorizeHook, local_vectorize: LocalVectorize, parameters: dict[str, Any], error: type[Exception]
) -> None:
    with fails(error):
        run(VectorizeQueryOperator, index_name="books", **parameters)
    assert local_vectorize.requests() == []


def test_query_with_wrong_dimensions_reports_both_numbers(run: Run, shelf: VectorizeHook) -> None:
    with fails(errors.InvalidQueryError, match="expected 32 dimensions, and got 3"):
        run(VectorizeQueryOperator, index_name="books", vector=[1, 2, 3])


def test_query_renders_templates(run: Run, shelf: VectorizeHook) -> None:
    result = run(
        VectorizeQueryOperator,
        {"name": "n", "index": "books"},
        index_name="{{ index }}",
        vector=values(1),
        namespace="{{ name }}",
        filter={"year": {"$in": [2001]}},
    )
    assert [match["id"] for match in result["matches"]] == ["far"]
    assert "vector" in VectorizeQueryOperator.template_fields
    assert VectorizeQueryOperator.template_fields_renderers["vector"] == "json"
