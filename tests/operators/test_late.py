"""Tests that operators and hooks are safe from late requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_vectorize.airflow_support import task_state
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
from tests.api.conftest import FakeTime, ndjson, numbered_vectors
from tests.operators.conftest import Run

LATE_SECONDS = 120.0
IDS = [f"v{number}" for number in range(10)]
BOOKS = {"index_name": "books", "dimensions": 32, "metric": "cosine"}


@pytest.fixture
def time(
    books: VectorizeHook, immediate_retries: None, local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> FakeTime:
    """Control the time of all clients that operators and hooks create."""
    time = FakeTime(local_vectorize)
    monkeypatch.setattr(transport, "Clock", lambda: time.clock)
    return time


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "books.ndjson"
    path.write_bytes(ndjson(*numbered_vectors(10)))
    return str(path)


def attempt(number: int) -> dict[str, Any]:
    """Return the context of an attempt on an Airflow without a task state store."""
    return {"ti": SimpleNamespace(try_number=number, max_tries=1, xcom_push=lambda **_: None)}


@pytest.fixture
def tasks(run: Run, source: str) -> dict[str, Callable[..., Any]]:
    """Return a function for each writing operator that runs it as the given attempt."""

    def task(kind: Any, **parameters: Any) -> Callable[..., Any]:
        return lambda number=1, **overrides: run(kind, attempt(number), **parameters, **overrides)

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


@pytest.mark.parametrize("late_seconds", [LATE_SECONDS, 0])
@pytest.mark.parametrize(
    ("first", "operation", "second", "count"),
    [
        ("delete_vectors", "delete_by_ids", "upsert", 10),
        ("upsert", "upsert", "delete_vectors", 0),
        ("insert", "insert", "delete_vectors", 0),
    ],
)
def test_task_after_an_abandoned_request_of_an_earlier_task_wins(
    tasks: dict[str, Any],
    time: FakeTime,
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
def test_second_attempt_waits_before_its_first_write(
    tasks: dict[str, Any], time: FakeTime, caplog: pytest.LogCaptureFixture, name: str, number: int
) -> None:
    tasks[name](number)
    assert (time.now >= LATE_SECONDS) == (number > 1)
    assert ('Waiting 120 s before writing to index "books"' in caplog.text) == (number > 1)


def test_hook_in_a_second_attempt_waits_before_its_first_write(
    books: VectorizeHook, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = VectorizeHook(books.vectorize_conn_id)
    monkeypatch.setattr(task_state, "current_context", lambda: attempt(2))
    hook.get_index("books")
    assert time.now == 0
    hook.upsert("books", list(numbered_vectors(3)))
    assert time.now >= LATE_SECONDS


def test_writes_of_two_hooks_keep_their_order(
    books: VectorizeHook, time: FakeTime, local_vectorize: LocalVectorize
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
def test_on_kill_during_the_wait_for_late_requests_stops_the_task(
    books: VectorizeHook,
    immediate_retries: None,
    local_vectorize: LocalVectorize,
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    operation: str,
    parameters: dict[str, Any],
) -> None:
    task = kind(task_id="task", **parameters)
    long_waits: list[float] = []

    class KillingTime(FakeTime):
        def wait(self, event: Any, seconds: float) -> bool:
            if seconds > 100:
                long_waits.append(seconds)
                task.on_kill()
            return super().wait(event, seconds)

    time = KillingTime(local_vectorize)
    monkeypatch.setattr(transport, "Clock", lambda: time.clock)
    local_vectorize.fail("late", operation=operation, seconds=60, status=500)
    with pytest.raises(VectorizeError, match="stopped"):
        task.execute(attempt(1))
    assert len(long_waits) == 1


def test_attempt_identity_after_clear_changes_even_with_fewer_retries() -> None:
    first = task_state.attempt_identity({
        "ti": SimpleNamespace(max_tries=3),
        "dag_run": SimpleNamespace(clear_number=0),
    })
    again = task_state.attempt_identity({
        "ti": SimpleNamespace(max_tries=3),
        "dag_run": SimpleNamespace(clear_number=1),
    })
    assert first != again
    older = task_state.attempt_identity({"ti": SimpleNamespace(max_tries=3)})
    assert older == task_state.attempt_identity({"ti": SimpleNamespace(max_tries=3)})
    assert json.loads(json.dumps(older)) == older
