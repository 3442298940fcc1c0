"""Operators that create and delete metadata indexes, and what the sensor makes of their results."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.metadata_index import (
    VectorizeCreateMetadataIndexOperator,
    VectorizeDeleteMetadataIndexOperator,
)
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor
from tests.operators.conftest import Run, fails
from tests.support import NO_WAIT

YEAR = {"index_name": "books", "property_name": "year"}


def names(hook: VectorizeHook) -> list[str]:
    return [one.property_name for one in hook.list_metadata_indexes("books")]


def test_a_metadata_index_is_created_and_once_more_is_no_error(run: Run, books: VectorizeHook) -> None:
    made = run(VectorizeCreateMetadataIndexOperator, **YEAR, index_type="number")
    assert set(made) == {"operation", "index_name", "mutation_id", "accepted_at", "created_on"}
    assert (made["operation"], made["index_name"]) == ("create_metadata_index", "books")
    assert datetime.fromisoformat(made["accepted_at"]).tzinfo is not None
    assert names(books) == ["year"]
    again = run(VectorizeCreateMetadataIndexOperator, **YEAR, index_type="number")
    assert again["mutation_id"] != made["mutation_id"]


def test_a_metadata_index_is_deleted_and_gone_after_a_second_time_too(run: Run, books: VectorizeHook) -> None:
    books.create_metadata_index("books", "year", "number")
    gone = run(VectorizeDeleteMetadataIndexOperator, **YEAR)
    assert gone["operation"] == "delete_metadata_index"
    assert gone["mutation_id"]
    assert names(books) == []
    again = run(VectorizeDeleteMetadataIndexOperator, **YEAR)
    assert again["mutation_id"] not in (None, gone["mutation_id"]), "a marker, behind a deletion that was not heard of"
    assert again["created_on"] == gone["created_on"]
    with fails(errors.MetadataIndexNotFoundError):
        run(VectorizeDeleteMetadataIndexOperator, **YEAR, if_missing="fail")


def test_a_deletion_that_was_not_heard_of_is_no_failure(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, patient: None
) -> None:
    books.create_metadata_index("books", "year", "number")
    local_vectorize.fail("cut_after_body", operation="delete_metadata_index")
    gone = run(VectorizeDeleteMetadataIndexOperator, **YEAR, if_missing="fail", limits=NO_WAIT)
    assert gone["mutation_id"] == local_vectorize.requests("delete_by_ids")[-1].mutation_id, "a marker"
    assert names(books) == []


def test_an_index_that_is_not_there_is_a_failure_whatever_is_skipped(run: Run, books: VectorizeHook) -> None:
    with fails(errors.IndexNotFoundError):
        run(VectorizeDeleteMetadataIndexOperator, index_name="films", property_name="year")
    with fails(errors.IndexNotFoundError):
        run(VectorizeCreateMetadataIndexOperator, index_name="films", property_name="year", index_type="number")


def test_a_type_that_is_none_is_refused(run: Run, books: VectorizeHook) -> None:
    with fails(errors.ConfigError, match="'string', 'number' or 'boolean', not 'date'"):
        run(VectorizeCreateMetadataIndexOperator, **YEAR, index_type="date")
    with fails(errors.ConfigError, match="'string', 'number' or 'boolean', not 'date'"):
        run(VectorizeCreateMetadataIndexOperator, {"type": "date"}, **YEAR, index_type="{{ type }}")


def test_the_sensor_can_wait_for_the_result(run: Run, books: VectorizeHook, local_vectorize: LocalVectorize) -> None:
    local_vectorize.hold()
    made = run(VectorizeCreateMetadataIndexOperator, **YEAR, index_type="number")
    sensor = VectorizeMutationSensor(task_id="wait", mutation=made)
    assert not sensor.poke({})
    local_vectorize.process()
    assert sensor.poke({})


def test_names_are_templates(run: Run, books: VectorizeHook) -> None:
    context = {"index": "books", "field": "year"}
    run(
        VectorizeCreateMetadataIndexOperator,
        context,
        index_name="{{ index }}",
        property_name="a.{{ field }}",
        index_type="string",
    )
    assert names(books) == ["a.year"]
