"""Test the progress messages of a load, and the values that it passes on to metrics."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ServerError
from airflow_provider_vectorize.load import progress_reporter
from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.load.progress import Progress
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.rows.check_settings import CheckSettings
from airflow_provider_vectorize.rows.ndjson_reader import NdjsonReader
from airflow_provider_vectorize.sources.lines import Position
from tests.support import DIMENSIONS, FileObject, MemoryStore, make_rows, write_object

from .conftest import BooksIndex

SETTINGS = CheckSettings(DIMENSIONS, LIMITS, "off", "never")
NOTHING = Receipt("upsert", "books")
HALF = Progress(
    receipt=replace(NOTHING, vectors=1_250_000, bytes_sent=12_000_000_000, rejected=3),
    before=replace(NOTHING, bytes_sent=6_000_000_000),
    share=0.5,
    share_before=0.25,
    seconds=100.0,
    requests=253,
    retries=3,
    in_flight=4,
    waited=75.2,
)


def test_progress_line_holds_all_values() -> None:
    assert str(HALF) == (
        "Uploaded 1,250,000 vectors (50% of the source), 12,000.0 MB sent, 60.0 MB/s, about 3 min 20 s left, "
        "3 rows rejected, 253 requests, 4 in flight, 3 retries, 1 min 15 s lost to rate limits"
    )


def test_progress_line_omits_unknown_values() -> None:
    line = str(replace(HALF, share=None, waited=0.0, receipt=replace(HALF.receipt, rejected=0)))
    assert line == "Uploaded 1,250,000 vectors, 12,000.0 MB sent, 60.0 MB/s, 253 requests, 4 in flight, 3 retries"
    assert replace(HALF, share=0.25).seconds_left is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.4, "4 s"), (61, "1 min 1 s"), (1_000, "16 min"), (7_300, "2 h 1 min")]
)
def test_progress_line_formats_remaining_time(seconds: float, text: str) -> None:
    assert f"about {text} left" in str(replace(HALF, seconds=seconds / 2))


def test_progress_summary_counts_this_attempt() -> None:
    last = replace(HALF, receipt=replace(HALF.receipt, batches=250, mutation_id="m9"), waited=0.0)
    assert last.summary() == (
        "Uploaded 1,250,000 vectors in 250 requests (6,000.0 MB) in 1 min 40 s, 60.0 MB/s, 3 rows rejected, 3 retries. "
        "Last mutation: m9."
    )


def test_progress_summary_of_small_load_uses_small_units() -> None:
    small = replace(NOTHING, vectors=1, batches=1, bytes_sent=312, mutation_id="m1")
    last = replace(HALF, receipt=small, before=NOTHING, seconds=0.24, retries=0, waited=0.0)
    assert last.summary() == "Uploaded 1 vector in 1 request (312 bytes) in 0.2 s, 1 KB/s. Last mutation: m1."
    assert "0.0 MB" not in str(last)


def test_progress_summary_of_resumed_load_names_earlier_vectors() -> None:
    before = replace(NOTHING, vectors=30, batches=3, bytes_sent=3_000, mutation_id="m3")
    both = replace(before, vectors=100, batches=10, bytes_sent=10_000, mutation_id="m10")
    last = replace(HALF, receipt=both, before=before, seconds=2.0, retries=1, waited=0.0)
    assert last.summary() == (
        "Uploaded 70 vectors in 7 requests (7 KB) in 2.0 s, 4 KB/s, after 30 vectors in earlier attempts, 1 retry. "
        "Last mutation: m10."
    )


def make_objects(tmp_path: Path) -> list[FileObject]:
    sizes = {"a.ndjson": 100, "b.ndjson.gz": 0, "c.ndjson": 300}
    return [FileObject(write_object(tmp_path / name, b"x" * size)) for name, size in sizes.items()]


def test_share_before_counts_complete_compressed_objects_only(tmp_path: Path) -> None:
    a, b, c = make_objects(tmp_path)
    assert b.size
    total = 400 + b.size
    shares = [
        LoadSource([a, b, c], NdjsonReader(SETTINGS)).share_before(position)
        for position in (Position(), Position(0, 5, 50), Position(1, 9, 5_000), Position(2, 2, 30))
    ]
    assert shares == [0, 50 / total, 100 / total, (130 + b.size) / total]
    assert LoadSource([a, b, c], NdjsonReader(SETTINGS)).share_before(Position(3)) == 1


def test_share_before_unknown_size_or_empty_source_is_none(tmp_path: Path) -> None:
    a, b, c = make_objects(tmp_path)
    b.size = None
    assert LoadSource([a, b, c], NdjsonReader(SETTINGS)).share_before(Position()) is None
    assert (
        LoadSource([FileObject(write_object(tmp_path / "empty", b""))], NdjsonReader(SETTINGS)).share_before(Position())
        is None
    )


def test_load_reports_progress_to_log_and_observer(
    books: BooksIndex, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_reporter, "PROGRESS_SECONDS", 0.0)
    books.local.fail("http_500", operation="upsert", times=2)
    reports: list[Progress] = []
    with caplog.at_level(logging.INFO):
        receipt = books.load(make_rows(100), observer=reports.append)
    assert reports[-1].receipt == receipt
    assert (reports[-1].share, reports[-1].retries, reports[-1].requests) == (
        1.0,
        2,
        10 + 2 + 2,
    )  # 10 batches, 2 retries, the index and the samples.
    assert [report.receipt.vectors for report in reports] == sorted(report.receipt.vectors for report in reports)
    assert "Uploaded 100 vectors (100% of the source)" in caplog.text


def test_load_resumed_reports_earlier_attempts_separately(books: BooksIndex) -> None:
    store, source = MemoryStore(), books.write_source(make_rows(100))
    books.local.fail("http_500", operation="upsert", after=3, times=None)
    options: dict[str, Any] = {"identity": {"number": "0"}, "max_in_flight": 1, "store": store}
    reports: list[Progress] = []
    with pytest.raises(ServerError):
        books.load(source, client={"retry": RetryPolicy(total=0.0)}, observer=reports.append, **options)
    assert reports[-1].receipt.vectors == 30
    books.local.clear_faults()
    books.load(source, observer=reports.append, **options)
    assert (reports[-1].before.vectors, reports[-1].receipt.vectors) == (30, 100)
