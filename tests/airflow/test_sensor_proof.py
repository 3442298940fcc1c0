"""Tests of what the sensor accepts as proof: watermarks, markers, and evidence if allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow
from tests.airflow.sensors import BOTH_VARIANTS, MUTATION_ID, AfterCheck, load_unprocessed, make_sensor, run_sensor

Rows = Callable[..., str]


@pytest.fixture
def receipt(airflow_home: Airflow, books: LocalVectorize, rows: Rows) -> dict[str, Any]:
    """Receipt of a load of ten rows that Vectorize has not processed yet."""
    return load_unprocessed(books, rows(10))


@BOTH_VARIANTS
def test_sensor_load_hidden_by_another_writer_is_proved_by_a_marker(
    receipt: dict[str, Any], books: LocalVectorize, variant: str, after_check: AfterCheck, log: Any
) -> None:
    books.foreign_mutation("books")
    books.process()
    after_check(5, books.process)  # three checks, the marker, and one check that does not show it

    run_sensor(make_sensor(receipt, variant))

    assert len(books.requests("delete_by_ids")) == 1
    assert "marker" in log.text


@BOTH_VARIANTS
def test_sensor_alternating_watermark_reads_still_succeed(
    receipt: dict[str, Any], books: LocalVectorize, variant: str, after_check: AfterCheck
) -> None:
    def process_and_flap() -> None:
        books.process()
        books.flap("books")

    after_check(1, process_and_flap)

    run_sensor(make_sensor(receipt, variant))

    assert books.count("books") == 10


def test_sensor_samples_deleted_by_another_writer_succeeds_by_marker(
    receipt: dict[str, Any], books: LocalVectorize
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    VectorizeHook().delete_by_ids("books", [sample["id"] for sample in receipt["samples"]])
    books.process()
    task = make_sensor(receipt)

    assert [task.poke({}) for _ in range(4)] == [False] * 4, "the watermark is another writer's and proves nothing"
    books.process()  # the marker
    assert task.poke({}) is True


@BOTH_VARIANTS
def test_sensor_marker_none_sends_no_marker(receipt: dict[str, Any], books: LocalVectorize, variant: str) -> None:
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    books.foreign_mutation("books")
    books.process()

    with pytest.raises(AirflowSensorTimeout):
        run_sensor(make_sensor(receipt, variant, marker="none", timeout=0.3))

    assert not books.requests("delete_by_ids")


@BOTH_VARIANTS
def test_sensor_marker_vector_is_read_back_and_deleted(
    receipt: dict[str, Any], books: LocalVectorize, variant: str, after_check: AfterCheck
) -> None:
    def process_behind_another_writer() -> None:
        books.foreign_mutation("books")  # hides every marker that is a deletion
        books.process()

    process_behind_another_writer()
    after_check(5, process_behind_another_writer)

    run_sensor(make_sensor(receipt, variant, marker="vector"))

    books.process()
    assert books.count("books") == 10, "a marker vector is left over"


@BOTH_VARIANTS
def test_sensor_without_write_permission_sends_one_marker_and_continues(
    receipt: dict[str, Any], books: LocalVectorize, variant: str, after_check: AfterCheck, log: Any
) -> None:
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    books.foreign_mutation("books")
    books.process()
    books.fail("answer", operation="delete_by_ids", times=None, status=403, code=10000, message="Authentication error")

    with pytest.raises(AirflowSensorTimeout):
        run_sensor(make_sensor(receipt, variant, timeout=1.0))

    assert len(books.requests("delete_by_ids")) == 1
    assert log.text.count("No more markers are sent") == 1


def test_sensor_read_back_is_accepted_only_with_proof_read_back(
    receipt: dict[str, Any], books: LocalVectorize, log: Any
) -> None:
    books.foreign_mutation("books")
    books.process()

    assert make_sensor(receipt, marker="none").poke({}) is False
    assert make_sensor(receipt, marker="none", proof="read_back").poke({}) is True
    assert "evidence, not proof" in log.text


def test_sensor_read_back_without_samples_fails(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match="sample vectors"):
        make_sensor(MUTATION_ID, index_name="books", proof="read_back").execute({})


@BOTH_VARIANTS
def test_sensor_recreated_index_fails(
    receipt: dict[str, Any], books: LocalVectorize, variant: str, after_check: AfterCheck
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    hook.delete_index("books")
    hook.create_index("books", dimensions=32, metric="cosine")
    books.release()
    books.foreign_mutation("books")

    with pytest.raises(AirflowFailException, match="deleted and created again"):
        run_sensor(make_sensor(receipt, variant))


def test_sensor_several_receipts_of_one_index_share_checks_and_a_marker(
    airflow_home: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    receipts = [VectorizeHook().load("books", rows(5, f"{n}.ndjson", first=5 * n)) for n in range(4)]
    books.clear_requests()
    task = make_sensor(receipts)

    assert task.poke({}) is False
    assert [request.operation for request in books.requests()] == ["info"]
    assert task.poke({}) is True
    operations = [request.operation for request in books.requests()]
    assert operations == ["info", "delete_by_ids", "info", *["get_index"] * 3], "one marker proves all"


def test_sensor_receipts_of_several_indexes_are_waited_for_together(
    airflow_home: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    hook.create_index("films", dimensions=32, metric="cosine")
    books.hold()
    receipts = [hook.load(index, rows(5)) for index in ("books", "films")]
    task = make_sensor(receipts)

    books.process("books")
    assert task.poke({}) is False
    books.process("films")
    assert task.poke({}) is True


def test_sensor_bare_id_is_proved_by_its_watermark(receipt: dict[str, Any], books: LocalVectorize) -> None:
    task = make_sensor(receipt["mutation_id"], index_name="books")
    assert task.poke({}) is False
    books.process()
    assert task.poke({}) is True


def test_sensor_bare_id_hidden_by_another_writer_is_proved_by_a_marker(
    receipt: dict[str, Any], books: LocalVectorize
) -> None:
    books.foreign_mutation("books")
    books.process()
    task = make_sensor(receipt["mutation_id"], index_name="books")
    assert [task.poke({}) for _ in range(4)] == [False] * 4
    books.process()
    assert task.poke({}) is True
