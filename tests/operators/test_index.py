"""Operators that create and delete an index."""

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


def test_an_index_is_created_once_and_found_there_every_night_after(run: Run, hook: VectorizeHook) -> None:
    first = run(VectorizeCreateIndexOperator, **COSINE, description="all books")
    assert first == COSINE | {"created": True}
    assert hook.get_index("books").description == "all books"
    assert run(VectorizeCreateIndexOperator, **COSINE) == COSINE | {"created": False}


def test_a_preset_says_the_shape(run: Run) -> None:
    preset = {"index_name": "books", "preset": "@cf/baai/bge-small-en-v1.5"}
    made = run(VectorizeCreateIndexOperator, **preset)
    assert (made["dimensions"], made["created"]) == (384, True)
    assert run(VectorizeCreateIndexOperator, **preset) == made | {"created": False}


@pytest.mark.parametrize(
    "shape",
    [
        {"dimensions": 64, "metric": "cosine"},
        {"dimensions": 32, "metric": "euclidean"},
        {"preset": "@cf/baai/bge-small-en-v1.5"},
    ],
)
def test_an_index_of_another_shape_fails_the_task(run: Run, books: VectorizeHook, shape: dict[str, Any]) -> None:
    with fails(errors.InvalidIndexConfigError, match="Neither can be changed"):
        run(VectorizeCreateIndexOperator, index_name="books", **shape)
    assert books.get_index("books").config.dimensions == 32


def test_whoever_wants_a_fresh_index_is_told_of_an_old_one(run: Run, books: VectorizeHook) -> None:
    with fails(errors.IndexExistsError):
        run(VectorizeCreateIndexOperator, **COSINE, if_exists="fail")


def test_a_fresh_index_whose_creation_was_not_heard_of_is_no_old_one(
    run: Run, local_vectorize: LocalVectorize, patient: None
) -> None:
    local_vectorize.fail("not_json", operation="create_index")
    made = run(VectorizeCreateIndexOperator, **COSINE, if_exists="fail", limits=NO_WAIT)
    assert made == COSINE | {"created": True}


def test_an_index_is_deleted_and_gone_after_a_second_time_too(run: Run, books: VectorizeHook) -> None:
    assert run(VectorizeDeleteIndexOperator, index_name="books") == {"index_name": "books", "deleted": True}
    assert run(VectorizeDeleteIndexOperator, index_name="books") == {"index_name": "books", "deleted": False}
    assert run(VectorizeDeleteIndexOperator, index_name="never") == {"index_name": "never", "deleted": False}
    assert books.list_indexes() == []


def test_who_wants_to_know_is_told_that_there_was_nothing_to_delete(run: Run, books: VectorizeHook) -> None:
    run(VectorizeDeleteIndexOperator, index_name="books", if_missing="fail")
    with fails(errors.IndexNotFoundError):
        run(VectorizeDeleteIndexOperator, index_name="books", if_missing="fail")


def test_a_wrong_token_is_not_taken_for_an_index_that_is_gone(run: Run, books: VectorizeHook, connect: Any) -> None:
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
def test_a_parameter_that_means_nothing_is_refused_before_anything_is_sent(
    run: Run, local_vectorize: LocalVectorize, operator: type[Any], parameters: dict[str, Any]
) -> None:
    with fails(errors.ConfigError):
        run(operator, **parameters)
    assert local_vectorize.requests() == []


def test_names_are_templates_and_results_are_plain(run: Run) -> None:
    shape = {"dimensions": 32, "metric": "cosine", "description": "of {{ day }}"}
    made = run(VectorizeCreateIndexOperator, {"day": "monday"}, index_name="books-{{ day }}", **shape)
    assert made["index_name"] == "books-monday"
    assert json.loads(json.dumps(made)) == made
    gone = run(VectorizeDeleteIndexOperator, {"day": "monday"}, index_name="books-{{ day }}")
    assert gone == {"index_name": "books-monday", "deleted": True}
