"""Tests of the spans of a load: one for the load, one for each batch below it, and none without a tracer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_vectorize.errors import AuthError
from airflow_provider_vectorize.load import spans
from tests.support import make_rows

from .conftest import BooksIndex

trace = pytest.importorskip("opentelemetry.sdk.trace")


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Record spans in memory, as Airflow exports them with ``[traces] otel_on``."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider, memory = trace.TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(spans, "tracer", provider.get_tracer("test"))
    yield memory
    provider.shutdown()


def test_spans_of_a_load_contain_its_batches(exporter: Any, books: BooksIndex) -> None:
    receipt = books.load(make_rows(35), max_in_flight=4)

    *batches, whole = sorted(exporter.get_finished_spans(), key=lambda span: span.name == "vectorize.load")
    assert whole.attributes == {
        "vectorize.index": "books",
        "vectorize.operation": "upsert",
        "vectorize.objects": 1,
        "vectorize.vectors": 35,
        "vectorize.rejected": 0,
        "vectorize.mutation_id": receipt.mutation_id,
    }
    assert {batch.name for batch in batches} == {"vectorize.batch"}
    assert sorted(batch.attributes["vectorize.vectors"] for batch in batches) == [5, 10, 10, 10]
    assert sum(batch.attributes["vectorize.bytes"] for batch in batches) == receipt.bytes_sent
    assert {batch.attributes["vectorize.mutation_id"] for batch in batches} == set(receipt.mutation_ids)
    assert {batch.parent.span_id for batch in batches} == {whole.context.span_id}


def test_spans_of_a_failed_load_record_the_error_without_secrets(exporter: Any, books: BooksIndex) -> None:
    books.local.fail("answer", operation="upsert", times=None, status=401, code=10000, message="Authentication error")

    with pytest.raises(AuthError):
        books.load(make_rows(10))

    for span in exporter.get_finished_spans():
        assert not span.status.is_ok
        assert "Authentication error" in span.to_json()
        assert books.local.token not in span.to_json()
    assert {span.name for span in exporter.get_finished_spans()} == {"vectorize.load", "vectorize.batch"}


def test_spans_without_opentelemetry_do_nothing(books: BooksIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "tracer", None)

    assert books.load(make_rows(30)).vectors == 30


def test_spans_are_not_recorded_by_default() -> None:
    with spans.span("vectorize.load", index="books") as current:
        assert not current.is_recording()
