"""Tests of ``VectorizeHook.sync``, with the state in local files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.errors import ConfigError, SyncError
from airflow_provider_vectorize.load import spans
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.support import create_index, expected_dump, make_rows, ndjson


@pytest.fixture
def sync(local_vectorize: LocalVectorize, connect: Callable[..., str], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that writes the source and syncs it."""
    create_index(local_vectorize)
    connect()

    def run(rows: list[Any], **options: Any) -> dict[str, Any]:
        from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

        (tmp_path / "a.ndjson").write_bytes(ndjson(rows))
        options = {"state": str(tmp_path / "state"), **options}
        return VectorizeHook().sync("books", str(tmp_path / "*.ndjson"), **options)

    return run


def test_hook_sync_sends_changes_and_deletes(
    sync: Callable[..., dict[str, Any]], local_vectorize: LocalVectorize, tmp_path: Path
) -> None:
    rows = make_rows(30)
    first = sync(rows)
    second = sync([*rows[:20], *make_rows(1, first=90)], delete_vanished=True)

    assert (first["added"], second["added"], second["deleted"], second["generation"]) == (30, 1, 10, 2)
    assert local_vectorize.dump("books") == expected_dump([*rows[:20], *make_rows(1, first=90)])
    names = sorted(str(path.relative_to(tmp_path / "state")) for path in (tmp_path / "state").rglob("*.*"))
    assert [name.partition("-")[0] for name in names] == [
        "current.json", *["generations/000001"] * 2, *["generations/000002"] * 2, "owner.json",
    ]  # fmt: skip
    assert sync([*rows[:20], *make_rows(1, first=90)], delete_vanished=True)["mutation_id"] is None


def test_hook_sync_reports_lineage_of_a_sync_that_withheld(sync: Callable[..., dict[str, Any]]) -> None:
    sync(make_rows(60))

    with pytest.raises(SyncError, match="Withheld 40 deletions"):
        sync(make_rows(20), delete_vanished=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_deletes": "many"}, "max_deletes must be"),
        ({"changed_by": "text"}, "changed_by must be"),
        ({"state": ""}, "state is empty"),
        ({"state": "s3://bucket/*"}, "needs the name of one folder"),
        ({"on_bad_row": "dead_letter"}, "require each other"),
    ],
)
def test_hook_sync_wrong_parameter_raises(
    sync: Callable[..., dict[str, Any]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        sync(make_rows(1), **options)


def test_hook_sync_state_in_the_source_folder_raises_before_it_writes(
    sync: Callable[..., dict[str, Any]], local_vectorize: LocalVectorize, tmp_path: Path
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    sync(make_rows(3))
    local_vectorize.clear_requests()
    for source, state in (
        (f"{tmp_path}/", tmp_path / "new-state"),
        (f"{tmp_path}/**/*.json", tmp_path / "state"),
    ):
        with pytest.raises(ConfigError, match=r"The state folder .*state is in the source"):
            VectorizeHook().sync("books", source, state=str(state))
    assert local_vectorize.requests() == []
    assert not (tmp_path / "new-state").exists()


@pytest.mark.parametrize("rows", [55, 20])
def test_hook_sync_span_has_the_counts_and_contains_the_batches(
    sync: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    sync(make_rows(60))
    provider, memory = trace.TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(spans, "tracer", provider.get_tracer("test"))

    with nullcontext() if rows > 50 else pytest.raises(SyncError, match="Withheld 41 deletions"):
        sync([*make_rows(rows), *make_rows(1, first=90)][-rows:], delete_vanished=True)

    (batch,) = (span for span in memory.get_finished_spans() if span.name == "vectorize.batch")
    (whole,) = (span for span in memory.get_finished_spans() if span.name == "vectorize.sync")
    assert batch.parent.span_id == whole.context.span_id
    counts = {name: whole.attributes[f"vectorize.{name}"] for name in ("index", "added", "deleted", "withheld")}
    gone = 61 - rows
    assert counts == {
        "index": "books",
        "added": 1,
        "deleted": gone if rows > 50 else 0,
        "withheld": 0 if rows > 50 else gone,
    }
    assert whole.status.is_ok is (rows > 50)
