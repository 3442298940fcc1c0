"""Tests of the operators that create and delete an index."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator, VectorizeDeleteIndexOperator
from tests.operators.conftest import Run, fails
from tests.support import NO_WAIT

COSINE = {"index_name": "books", "dimensions": 32, "metric": "cosine"}


def test_create_index_with_existing_matching_index_creates_nothing(run: Run, hook: VectorizeHook) -> None:
    first = run(VectorizeCreateIndexOperator, **COSINE, description="all books")
    index = hook.get_index("books")
    assert index.created_on
    result = COSINE | {"created_on": index.created_on.isoformat()}
    assert first == result | {"created": True}
    assert index.description == "all books"
    assert run(VectorizeCreateIndexOperator, **COSINE) == result | {"created": False}


def test_create_index_with_preset_takes_the_dimensions_of_the_preset(run: Run) -> None:
    preset = {"index_name": "books", "preset": "@cf/baai/bge-small-en-v1.5"}
    result = run(VectorizeCreateIndexOperator, **preset)
    assert (result["dimensions"], result["created"]) == (384, True)
    assert run(VectorizeCreateIndexOperator, **preset) == result | {"created": False}


@pytest.mark.parametrize(
    "shape",
    [
        {"dimensions": 64, "metric": "cosine"},
        {"dimensions": 32, "metric": "euclidean"},
        {"preset": "@cf/baai/bge-small-en-v1.5"},
    ],
)
def test_create_index_with_existing_mismatching_index_fails(
    run: Run, books: VectorizeHook, shape: dict[str, Any]
) -> None:
    with fails(errors.InvalidIndexConfigError, match="Neither can be changed"):
        run(VectorizeCreateIndexOperator, index_name="books", **shape)
    assert books.get_index("books").config.dimensions == 32


def test_create_index_with_if_exists_fail_and_existing_index_fails(run: Run, books: VectorizeHook) -> None:
    with fails(errors.IndexExistsError):
        run(VectorizeCreateIndexOperator, **COSINE, if_exists="fail")


def test_create_index_with_if_exists_fail_and_lost_response_succeeds(
    run: Run, local_vectorize: LocalVectorize, immediate_retries: None
) -> None:
    local_vectorize.fail("not_json", operation="create_index")
    result = run(VectorizeCreateIndexOperator, **COSINE, if_exists="fail", limits=NO_WAIT)
    assert result == COSINE | {"created": True, "created_on": result["created_on"]}


def test_delete_index_of_missing_index_succeeds(run: Run, books: VectorizeHook) -> None:
    assert run(VectorizeDeleteIndexOperator, index_name="books") == {"index_name": "books", "deleted": True}
    assert run(VectorizeDeleteIndexOperator, index_name="books") == {"index_name": "books", "deleted": False}
    assert run(VectorizeDeleteIndexOperator, index_name="films") == {"index_name": "films", "deleted": False}
    assert books.list_indexes() == []


def test_delete_index_with_if_missing_fail_and_missing_index_fails(run: Run, books: VectorizeHook) -> None:
    run(VectorizeDeleteIndexOperator, index_name="books", if_missing="fail")
    with fails(errors.IndexNotFoundError):
        run(VectorizeDeleteIndexOperator, index_name="books", if_missing="fail")


def test_delete_index_with_wrong_token_fails(run: Run, books: VectorizeHook, connect: Any) -> None:
    connect(password="wrong")
    with fails(errors.AuthError):
        run(VectorizeDeleteIndexOperator, index_name="books")


@pytest.mark.parametrize(
    ("operator", "parameters"),
    [
        (VectorizeCreateIndexOperator, COSINE | {"if_exists": "replace"}),
        (VectorizeDeleteIndexOperator, {"index_name": "books", "if_missing": "ignore"}),
        (VectorizeCreateIndexOperator, {"index_name": "books"}),
        (VectorizeCreateIndexOperator, COSINE | {"index_name": "a/b"}),
        (VectorizeDeleteIndexOperator, {"index_name": "a/b"}),
    ],
)
def test_index_operators_with_wrong_parameters_send_nothing(
    run: Run, local_vectorize: LocalVectorize, operator: type[Any], parameters: dict[str, Any]
) -> None:
    with fails(errors.ConfigError):
        run(operator, **parameters)
    assert local_vectorize.requests() == []


def test_index_operators_render_templates_and_return_json(run: Run) -> None:
    shape = {"dimensions": 32, "metric": "cosine", "description": "of {{ day }}"}
    result = run(VectorizeCreateIndexOperator, {"day": "monday"}, index_name="books-{{ day }}", **shape)
    assert result["index_name"] == "books-monday"
    assert json.loads(json.dumps(result)) == result
    deletion = run(VectorizeDeleteIndexOperator, {"day": "monday"}, index_name="books-{{ day }}")
    assert deletion == {"index_name": "books-monday", "deleted": True}
