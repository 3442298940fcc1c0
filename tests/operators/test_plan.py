"""Tests of the operator that plans a load."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import ConfigError, IndexNotFoundError, SourceError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.plan import VectorizePlanLoadOperator
from airflow_provider_vectorize.plan import shards
from tests.operators.conftest import Run, fails
from tests.support import make_rows, ndjson


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Return a glob of two objects with 100 vectors each."""
    for number in range(2):
        (tmp_path / f"{number}.ndjson").write_bytes(ndjson(make_rows(100, first=100 * number)))
    return f"{tmp_path.as_uri()}/*.ndjson"


class RecordingTaskInstance(dict[str, Any]):
    """A task instance that records the XComs that are task_instance."""

    def xcom_push(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))


def test_plan_returns_a_source_per_shard_and_pushes_the_summary(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, source: str, tmp_path: Path
) -> None:
    task_instance = RecordingTaskInstance()

    sources = run(VectorizePlanLoadOperator, {"ti": task_instance}, index_name="books", source=source, shards=2)

    assert sources == [{"source": [f"{tmp_path.as_uri()}/{number}.ndjson"]} for number in range(2)]
    summary = task_instance["summary"]
    assert (summary["shards"], summary["objects"], summary["requests"]) == (2, 2, 6)
    assert summary["vectors"] == summary["new_vectors"] == pytest.approx(200, abs=2)
    assert summary["room"] == 20_000_000
    assert [one.operation for one in local_vectorize.requests()] == ["info"]


def test_plan_of_existing_vectors_into_a_full_index_succeeds(run: Run, books: VectorizeHook, source: str) -> None:
    """A nightly load of the same vectors still succeeds when the index is full_index."""
    books.upsert("books", make_rows(200))
    task_instance = RecordingTaskInstance()
    full_index = Limits(vectors_per_index=200)

    run(
        VectorizePlanLoadOperator, {"ti": task_instance}, index_name="books", source=source, shards=2, limits=full_index
    )

    assert (task_instance["summary"]["room"], task_instance["summary"]["new_vectors"]) == (0, 0)


def test_plan_without_room_for_new_vectors_fails_and_writes_nothing(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, source: str
) -> None:
    with fails(ConfigError, match="cannot fit into the index"):
        run(
            VectorizePlanLoadOperator, index_name="books", source=source, shards=2, limits=Limits(vectors_per_index=150)
        )
    assert {one.method for one in local_vectorize.requests()} == {"GET"}


def test_plan_of_large_object_splits_it_at_the_ends_of_lines(
    run: Run, books: VectorizeHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards.split_into_shards, "__defaults__", (1_000,))
    text = ndjson(make_rows(100))
    (tmp_path / "a.ndjson").write_bytes(text)

    sources = run(
        VectorizePlanLoadOperator,
        {"ti": RecordingTaskInstance()},
        index_name="books",
        source=str(tmp_path / "a.ndjson"),
        shards=4,
    )
    loaded = [books.load("books", one["source"])["vectors"] for one in sources]

    assert len(sources) == 4
    assert sum(loaded) == 100
    assert books.get_index_info("books").vector_count == 100


def test_plan_with_missing_index_or_source_fails(run: Run, books: VectorizeHook, source: str) -> None:
    with fails(IndexNotFoundError):
        run(VectorizePlanLoadOperator, index_name="nowhere", source=source, shards=2)
    with fails(SourceError, match="No object matches"):
        run(VectorizePlanLoadOperator, index_name="books", source=source.replace("*", "*.none"), shards=2)


def test_plan_without_xcom_push_pushes_nothing(run: Run, books: VectorizeHook, source: str) -> None:
    context = {"ti": SimpleNamespace()}
    assert run(VectorizePlanLoadOperator, context, index_name="books", source=source, shards=1, do_xcom_push=False)
