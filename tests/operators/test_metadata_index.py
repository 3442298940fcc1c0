"""Tests of the operators that create and delete metadata indexes, and of the sensor on their results."""

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


def property_names(hook: VectorizeHook) -> list[str]:
    return [metadata_index.property_name for metadata_index in hook.list_metadata_indexes("books")]


def test_create_metadata_index_of_existing_one_succeeds(run: Run, books: VectorizeHook) -> None:
    creation = run(VectorizeCreateMetadataIndexOperator, **YEAR, index_type="number")
    assert set(creation) == {"operation", "index_name", "mutation_id", "accepted_at", "created_on"}
    assert (creation["operation"], creation["index_name"]) == ("create_metadata_index", "books")
    assert datetime.fromisoformat(creation["accepted_at"]).tzinfo is not None
    assert property_names(books) == ["year"]
    repetition = run(VectorizeCreateMetadataIndexOperator, **YEAR, index_type="number")
    assert repetition["mutation_id"] != creation["mutation_id"]


def test_delete_metadata_index_of_missing_one_returns_a_marker(run: Run, books: VectorizeHook) -> None:
    books.create_metadata_index("books", "year", "number")
    deletion = run(VectorizeDeleteMetadataIndexOperator, **YEAR)
    assert deletion["operation"] == "delete_metadata_index"
    assert deletion["mutation_id"]
    assert property_names(books) == []
    repetition = run(VectorizeDeleteMetadataIndexOperator, **YEAR)
    assert repetition["mutation_id"] not in (None, deletion["mutation_id"]), (
        "a marker that follows a deletion whose response may be lost"
    )
    assert repetition["created_on"] == deletion["created_on"]
    with fails(errors.MetadataIndexNotFoundError):
        run(VectorizeDeleteMetadataIndexOperator, **YEAR, if_missing="fail")


def test_delete_metadata_index_after_lost_response_returns_a_marker(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, immediate_retries: None
) -> None:
    books.create_metadata_index("books", "year", "number")
    local_vectorize.fail("cut_after_body", operation="delete_metadata_index")
    deletion = run(VectorizeDeleteMetadataIndexOperator, **YEAR, if_missing="fail", limits=NO_WAIT)
    assert deletion["mutation_id"] == local_vectorize.requests("delete_by_ids")[-1].mutation_id, "a marker"
    assert property_names(books) == []


def test_metadata_index_operators_on_missing_index_fail(run: Run, books: VectorizeHook) -> None:
    with fails(errors.IndexNotFoundError):
        run(VectorizeDeleteMetadataIndexOperator, index_name="films", property_name="year")
    with fails(errors.IndexNotFoundError):
        run(VectorizeCreateMetadataIndexOperator, index_name="films", property_name="year", index_type="number")


def test_create_metadata_index_with_unknown_type_fails(run: Run, books: VectorizeHook) -> None:
    with fails(errors.ConfigError, match="'string', 'number' or 'boolean', not 'date'"):
        run(VectorizeCreateMetadataIndexOperator, **YEAR, index_type="date")
    with fails(errors.ConfigError, match="'string', 'number' or 'boolean', not 'date'"):
        run(VectorizeCreateMetadataIndexOperator, {"type": "date"}, **YEAR, index_type="{{ type }}")


def test_sensor_waits_for_the_result_of_create_metadata_index(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize
) -> None:
    local_vectorize.hold()
    creation = run(VectorizeCreateMetadataIndexOperator, **YEAR, index_type="number")
    sensor = VectorizeMutationSensor(task_id="wait", mutation=creation)
    assert not sensor.poke({})
    local_vectorize.process()
    assert sensor.poke({})


def test_create_metadata_index_renders_templates(run: Run, books: VectorizeHook) -> None:
    context = {"index": "books", "field": "year"}
    run(
        VectorizeCreateMetadataIndexOperator,
        context,
        index_name="{{ index }}",
        property_name="a.{{ field }}",
        index_type="string",
    )
    assert property_names(books) == ["a.year"]
