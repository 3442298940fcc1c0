"""What a load says on its way, and what metrics are told."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ServerError
from airflow_provider_vectorize.load import uploader
from airflow_provider_vectorize.load.progress import Progress, share_done
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.sources.lines import Position
from tests.support import FileObject, MemoryStore, make_rows, write

from .conftest import Books

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


def test_the_line_says_how_far_how_fast_how_long_and_what_went_wrong() -> None:
    assert str(HALF) == (
        "Uploaded 1,250,000 vectors (50% of the source), 12,000.0 MB sent, 60.0 MB/s, about 3 min 20 s left, "
        "3 rows rejected, 253 requests, 4 in flight, 3 retries, 1 min 15 s lost to rate limits"
    )


def test_what_is_not_known_is_not_said() -> None:
    line = str(replace(HALF, share=None, waited=0.0, receipt=replace(HALF.receipt, rejected=0)))
    assert line == "Uploaded 1,250,000 vectors, 12,000.0 MB sent, 60.0 MB/s, 253 requests, 4 in flight, 3 retries"
    assert replace(HALF, share=0.25).seconds_left is None


@pytest.mark.parametrize(("left", "said"), [(4.4, "4 s"), (61, "1 min 1 s"), (1_000, "16 min"), (7_300, "2 h 1 min")])
def test_times_are_said_as_people_do(left: float, said: str) -> None:
    assert f"about {said} left" in str(replace(HALF, seconds=left / 2))


def test_the_last_line_counts_requests_bytes_and_seconds_of_this_attempt() -> None:
    done = replace(HALF, receipt=replace(HALF.receipt, batches=250, mutation_id="m9"), waited=0.0)
    assert done.summary() == (
        "Uploaded 1,250,000 vectors in 250 requests (6,000.0 MB) in 1 min 40 s, 60.0 MB/s, 3 rows rejected, 3 retries. "
        "Last mutation: m9."
    )


def test_the_last_line_of_a_small_load_has_no_zero_megabytes() -> None:
    small = replace(NOTHING, vectors=1, batches=1, bytes_sent=312, mutation_id="m1")
    done = replace(HALF, receipt=small, before=NOTHING, seconds=0.24, retries=0, waited=0.0)
    assert done.summary() == "Uploaded 1 vector in 1 request (312 bytes) in 0.2 s, 1 KB/s. Last mutation: m1."
    assert "0.0 MB" not in str(done)


def test_the_last_line_of_a_resumed_load_tells_earlier_attempts_apart() -> None:
    before = replace(NOTHING, vectors=30, batches=3, bytes_sent=3_000, mutation_id="m3")
    both = replace(before, vectors=100, batches=10, bytes_sent=10_000, mutation_id="m10")
    done = replace(HALF, receipt=both, before=before, seconds=2.0, retries=1, waited=0.0)
    assert done.summary() == (
        "Uploaded 70 vectors in 7 requests (7 KB) in 2.0 s, 4 KB/s, after 30 vectors in earlier attempts, 1 retry. "
        "Last mutation: m10."
    )


def objects(tmp_path: Path) -> list[FileObject]:
    sizes = {"a.ndjson": 100, "b.ndjson.gz": 0, "c.ndjson": 300}
    return [FileObject(write(tmp_path / name, b"x" * size)) for name, size in sizes.items()]


def test_the_share_counts_plain_objects_by_bytes_and_compressed_ones_when_they_are_done(tmp_path: Path) -> None:
    a, b, c = objects(tmp_path)
    assert b.size
    total = 400 + b.size
    found = [
        share_done([a, b, c], position)
        for position in (Position(), Position(0, 5, 50), Position(1, 9, 5_000), Position(2, 2, 30))
    ]
    assert found == [0, 50 / total, 100 / total, (130 + b.size) / total]
    assert share_done([a, b, c], Position(3)) == 1


def test_the_share_is_not_known_where_a_size_is_not_or_where_there_is_nothing(tmp_path: Path) -> None:
    a, b, c = objects(tmp_path)
    b.size = None
    assert share_done([a, b, c], Position()) is None
    assert share_done([FileObject(write(tmp_path / "empty", b""))], Position()) is None


def test_a_load_says_what_it_has_done_and_tells_it(
    books: Books, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "PROGRESS_SECONDS", 0.0)
    books.local.fail("http_500", operation="upsert", times=2)
    told: list[Progress] = []
    with caplog.at_level(logging.INFO):
        receipt = books.load(make_rows(100), tell=told.append)
    assert told[-1].receipt == receipt
    assert (told[-1].share, told[-1].retries, told[-1].requests) == (1.0, 2, 10 + 2 + 2)  # and the index, and samples
    assert [one.receipt.vectors for one in told] == sorted(one.receipt.vectors for one in told)
    assert "Uploaded 100 vectors (100% of the source)" in caplog.text


def test_what_earlier_attempts_had_is_known_apart(books: Books) -> None:
    store, source = MemoryStore(), books.file(make_rows(100))
    books.local.fail("http_500", operation="upsert", after=3, times=None)
    options: dict[str, Any] = {"identity": {"number": "0"}, "max_in_flight": 1, "store": store}
    told: list[Progress] = []
    with pytest.raises(ServerError):
        books.load(source, client={"retry": RetryPolicy(total=0.0)}, tell=told.append, **options)
    assert told[-1].receipt.vectors == 30
    books.local.clear_faults()
    books.load(source, tell=told.append, **options)
    assert (told[-1].before.vectors, told[-1].receipt.vectors) == (30, 100)
