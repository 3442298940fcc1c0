"""Late requests, by the operators and the hook as DAGs use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_vectorize.airflow_support import task_state as durable
from airflow_provider_vectorize.api import transport
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator, VectorizeDeleteIndexOperator
from airflow_provider_vectorize.operators.load import VectorizeInsertOperator, VectorizeUpsertOperator
from airflow_provider_vectorize.operators.metadata_index import (
    VectorizeCreateMetadataIndexOperator,
    VectorizeDeleteMetadataIndexOperator,
)
from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator
from tests.api.conftest import Time, ndjson, numbered
from tests.operators.conftest import Run

FENCE = 120.0
IDS = [f"v{number}" for number in range(10)]
BOOKS = {"index_name": "books", "dimensions": 32, "metric": "cosine"}


@pytest.fixture
def time(books: VectorizeHook, patient: None, local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch) -> Time:
    """The time of all clients that operators and hooks make."""
    time = Time(local_vectorize)
    monkeypatch.setattr(transport, "Clock", lambda: time.clock)
    return time


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "books.ndjson"
    path.write_bytes(ndjson(*numbered(10)))
    return str(path)


def attempt(number: int) -> dict[str, Any]:
    """The context of an attempt on an Airflow without a task state store."""
    return {"ti": SimpleNamespace(try_number=number, max_tries=1, xcom_push=lambda **_: None)}


@pytest.fixture
def tasks(run: Run, source: str) -> dict[str, Callable[..., Any]]:
    """Every operator that writes."""

    def task(kind: Any, **parameters: Any) -> Callable[..., Any]:
        return lambda number=1, **more: run(kind, attempt(number), **parameters, **more)

    genre = {"index_name": "books", "property_name": "genre"}
    return {
        "upsert": task(VectorizeUpsertOperator, index_name="books", source=source),
        "insert": task(VectorizeInsertOperator, index_name="books", source=source),
        "delete_vectors": task(VectorizeDeleteVectorsOperator, index_name="books", ids=IDS),
        "create_index": task(VectorizeCreateIndexOperator, **BOOKS),
        "delete_index": task(VectorizeDeleteIndexOperator, index_name="books"),
        "create_metadata_index": task(VectorizeCreateMetadataIndexOperator, **genre, index_type="string"),
        "delete_metadata_index": task(VectorizeDeleteMetadataIndexOperator, **genre),
    }


@pytest.mark.parametrize("late_seconds", [FENCE, 0])
@pytest.mark.parametrize(
    ("first", "operation", "second", "count"),
    [
        ("delete_vectors", "delete_by_ids", "upsert", 10),
        ("upsert", "upsert", "delete_vectors", 0),
        ("insert", "insert", "delete_vectors", 0),
    ],
)
def test_a_task_is_safe_from_late_requests_of_the_one_before(
    tasks: dict[str, Any],
    time: Time,
    local_vectorize: LocalVectorize,
    first: str,
    operation: str,
    second: str,
    count: int,
    late_seconds: float,
) -> None:
    if first == "delete_vectors":
        tasks["upsert"]()
    local_vectorize.fail("late", operation=operation, seconds=60)
    for name in (first, second):
        tasks[name](limits=Limits(late_seconds=late_seconds))
    local_vectorize.shift_clock(time.now + 1_000)
    assert (local_vectorize.count("books") == count) == (late_seconds > 0)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    "name",
    ["upsert", "insert", "delete_vectors", "create_index", "delete_index", "create_metadata_index"],
)
def test_the_second_attempt_of_a_task_begins_with_the_wait(
    tasks: dict[str, Any], time: Time, caplog: pytest.LogCaptureFixture, name: str, number: int
) -> None:
    tasks[name](number)
    assert (time.now >= FENCE) == (number > 1)
    assert ('Waiting 120 s before writing to index "books"' in caplog.text) == (number > 1)


def test_what_a_hook_in_a_function_writes_waits_in_the_second_attempt_too(
    books: VectorizeHook, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = VectorizeHook(books.vectorize_conn_id)
    monkeypatch.setattr(durable, "_current_context", lambda: attempt(2))
    hook.get_index("books")
    assert time.now == 0
    hook.upsert("books", list(numbered(3)))
    assert time.now >= FENCE


def test_what_two_hooks_write_keeps_its_order(
    books: VectorizeHook, time: Time, local_vectorize: LocalVectorize
) -> None:
    local_vectorize.fail("late", operation="upsert", seconds=60)
    for value in (1.0, 2.0):
        VectorizeHook(books.vectorize_conn_id).upsert("books", [{"id": "a", "values": [value] * 32}])
    local_vectorize.shift_clock(time.now + 1_000)
    assert books.get_by_ids("books", ["a"])[0].values[0] == 2


@pytest.mark.parametrize(
    ("kind", "operation", "parameters"),
    [
        (VectorizeDeleteVectorsOperator, "delete_by_ids", {"index_name": "books", "ids": IDS}),
        (VectorizeDeleteIndexOperator, "delete_index", {"index_name": "books"}),
    ],
)
def test_a_killed_task_stops_waiting(
    books: VectorizeHook,
    patient: None,
    local_vectorize: LocalVectorize,
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    operation: str,
    parameters: dict[str, Any],
) -> None:
    task = kind(task_id="task", **parameters)
    waited: list[float] = []

    class Killing(Time):
        def wait(self, event: Any, seconds: float) -> bool:
            if seconds > 100:
                waited.append(seconds)
                task.on_kill()
            return super().wait(event, seconds)

    time = Killing(local_vectorize)
    monkeypatch.setattr(transport, "Clock", lambda: time.clock)
    local_vectorize.fail("late", operation=operation, seconds=60, status=500)
    with pytest.raises(VectorizeError, match="stopped"):
        task.execute(attempt(1))
    assert len(waited) == 1


def test_each_clear_changes_the_identity_also_if_retries_were_lowered() -> None:
    first = durable.attempt_identity({"ti": SimpleNamespace(max_tries=3), "dag_run": SimpleNamespace(clear_number=0)})
    again = durable.attempt_identity({"ti": SimpleNamespace(max_tries=3), "dag_run": SimpleNamespace(clear_number=1)})
    assert first != again
    older = durable.attempt_identity({"ti": SimpleNamespace(max_tries=3)})
    assert older == durable.attempt_identity({"ti": SimpleNamespace(max_tries=3)})
    assert json.loads(json.dumps(older)) == older
