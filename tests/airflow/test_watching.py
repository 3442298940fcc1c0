"""Tests of the warning about a DAG that watches an index and also writes to it, and so starts itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.metadata_index import (
    VectorizeCreateMetadataIndexOperator,
    VectorizeDeleteMetadataIndexOperator,
)
from airflow_provider_vectorize.operators.query import VectorizeQueryOperator
from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator
from tests.airflow.runs import Airflow, Log
from tests.airflow.sensors import make_sensor

WARNING = 'A watcher of index "books" started this run, and this task'


def context(index_name: Any = "books", conn_id: Any = "vectorize_default") -> Any:
    """Return the context of a run that a watcher started."""
    payload = {
        "index_name": index_name,
        "vectorize_conn_id": conn_id,
        "mutation_id": "m",
        "processed_at": "2026-11-26T02:00:00+00:00",
    }
    event = SimpleNamespace(extra={"from_trigger": True, "payload": payload})
    return {
        "ti": SimpleNamespace(max_tries=0, xcom_push=lambda **_: None),
        "triggering_asset_events": {"an asset": [event]},
    }


def writers(source: str) -> list[Any]:
    return [
        VectorizeUpsertOperator(task_id="load", index_name="books", source=source),
        VectorizeDeleteVectorsOperator(task_id="delete", index_name="books", ids=["a"]),
        VectorizeCreateMetadataIndexOperator(
            task_id="create", index_name="books", property_name="year", index_type="number"
        ),
        VectorizeDeleteMetadataIndexOperator(task_id="drop", index_name="books", property_name="year"),
    ]


def test_writer_in_a_dag_that_watches_the_index_warns(
    airflow_home: Airflow, books: LocalVectorize, rows: Any, log: Log
) -> None:
    for number, operator in enumerate(writers(rows(5)), 1):
        operator.execute(context())

        assert log.text.count(f"{WARNING} writes to the same index.") == number, operator.task_id


def test_sensor_in_a_dag_that_watches_the_index_warns(
    airflow_home: Airflow, books: LocalVectorize, rows: Any, log: Log
) -> None:
    receipt = VectorizeUpsertOperator(task_id="load", index_name="books", source=rows(5)).execute({})

    make_sensor(receipt).execute(context())

    assert f"{WARNING} may write markers to the same index." in log.text


def taskflow_writes(source: str, state: str) -> list[Callable[[], Any]]:
    """Return what a TaskFlow function can write with the hook."""
    hook = VectorizeHook()
    vectors = [{"id": "a", "values": [1.0] * 32}]
    return [
        lambda: hook.load("books", source),
        lambda: hook.sync("books", source, state),
        lambda: hook.insert("books", vectors),
        lambda: hook.upsert("books", vectors),
        lambda: hook.delete_by_ids("books", ["a"]),
        lambda: hook.create_metadata_index("books", "year", "number"),
        lambda: hook.delete_metadata_index("books", "year"),
    ]


def test_hook_of_a_taskflow_function_in_a_dag_that_watches_the_index_warns(
    airflow_home: Airflow, books: LocalVectorize, rows: Any, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_vectorize.hooks.vectorize.current_context", context)

    for number, write in enumerate(taskflow_writes(rows(5), str(tmp_path / "state")), 1):
        write()
        assert log.text.count(f"{WARNING} writes to the same index.") == number, number


def test_hook_of_a_taskflow_function_that_reads_or_compares_does_not_warn(
    airflow_home: Airflow, books: LocalVectorize, rows: Any, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_vectorize.hooks.vectorize.current_context", context)
    hook = VectorizeHook()

    hook.sync("books", rows(5), str(tmp_path / "state"), dry_run=True)
    hook.query("books", vector=[1.0] * 32)
    hook.get_index_info("books")

    assert "A watcher of index" not in log.text


@pytest.mark.parametrize(
    "other",
    [
        context("films"),
        context(conn_id="other"),
        context(["books"]),
        context(conn_id=["other"]),
        {"ti": context()["ti"]},
        {**context(), "triggering_asset_events": {}},
    ],
)
def test_writer_in_a_dag_that_another_event_started_does_not_warn(
    airflow_home: Airflow, books: LocalVectorize, rows: Any, log: Log, other: Any
) -> None:
    for operator in writers(rows(5)):
        operator.execute(other)

    assert "A watcher of index" not in log.text


def test_sensor_without_markers_and_readers_do_not_warn(
    airflow_home: Airflow, books: LocalVectorize, rows: Any, log: Log
) -> None:
    receipt = VectorizeUpsertOperator(task_id="load", index_name="books", source=rows(5)).execute({})

    make_sensor(receipt, marker="none").execute(context())
    VectorizeQueryOperator(task_id="query", index_name="books", vector=[1.0] * 32).execute(context())

    assert "A watcher of index" not in log.text
