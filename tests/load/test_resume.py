"""Test when a retry resumes, and when it starts over and logs the reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import ServerError
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.sources import parts
from airflow_provider_vectorize.sources.compression import raise_source_errors
from airflow_provider_vectorize.sources.lines import BOM, Text
from tests.support import FileObject, MemoryStore, client_of, create_index, expected_dump, make_rows, ndjson

from .conftest import BooksIndex

GIVES_UP = {"total": 0.0}


@pytest.fixture
def interrupted(books: BooksIndex) -> tuple[BooksIndex, MemoryStore, FileObject]:
    """Interrupt a load of 100 rows of which 30 are acknowledged."""
    store, source = MemoryStore(), books.write_source(make_rows(100))
    books.local.fail("http_500", operation="upsert", after=3, times=None)
    with pytest.raises(ServerError):
        load_again(books, store, source)
    books.local.clear_faults()
    books.local.clear_requests()
    assert store.value["receipt"]["vectors"] == 30
    return books, store, source


def load_again(books: BooksIndex, store: MemoryStore, source: FileObject, **options: Any) -> Receipt:
    from airflow_provider_vectorize.api.retry import RetryPolicy

    options = {"identity": {"number of clears": "0"}, "max_in_flight": 1, **options}
    # Other tests cover abandoned requests, so no test here waits for them.
    client = {"retry": RetryPolicy(**GIVES_UP), "limits": Limits(late_seconds=0)}
    return books.load(source, store=store, client=client, **options)


Interrupted = tuple[BooksIndex, MemoryStore, FileObject]


def test_load_retry_resumes(interrupted: Interrupted, caplog: pytest.LogCaptureFixture) -> None:
    books, store, source = interrupted
    with caplog.at_level(logging.INFO):
        receipt = load_again(books, store, source)
    assert "Resuming from the last checkpoint at line 31 of" in caplog.text
    assert sum(request.vectors for request in books.write_requests()) == 70
    assert receipt.vectors == 100
    assert books.dump() == expected_dump(make_rows(100))


def test_load_retry_with_other_options_resumes(interrupted: Interrupted) -> None:
    books, store, source = interrupted
    receipt = load_again(books, store, source, per_request=13, max_in_flight=5, validation="light")
    assert sum(request.vectors for request in books.write_requests()) == 70
    assert receipt.vectors == 100
    assert books.dump() == expected_dump(make_rows(100))


def test_load_finished_before_returns_same_receipt(books: BooksIndex) -> None:
    store, source = MemoryStore(), books.write_source(make_rows(100))
    first = load_again(books, store, source)
    books.local.clear_requests()
    assert load_again(books, store, source) == first
    assert books.write_requests() == []


def test_load_without_identity_clears_checkpoint(books: BooksIndex) -> None:
    store, source = MemoryStore(), books.write_source(make_rows(100))
    books.load(source, store=store)
    assert store.value is None
    books.load(source, store=store)
    assert sum(request.vectors for request in books.write_requests()) == 200


def changed_source(books: BooksIndex, source: FileObject) -> dict[str, Any]:
    Path(source.uri.removeprefix("file://")).write_bytes(b"\n" + books.folder.joinpath("source.ndjson").read_bytes())
    return {"source": FileObject(books.folder / "source.ndjson")}


def same_size_but_newer(books: BooksIndex, source: FileObject) -> dict[str, Any]:
    return {"source": books.write_source(make_rows(100))}


def another_index(books: BooksIndex, source: FileObject) -> dict[str, Any]:
    create_index(books.local, "films")
    books.name = "films"
    return {}


def recreated_index(books: BooksIndex, source: FileObject) -> dict[str, Any]:
    with client_of(books.local) as client:
        client.delete_index("books")
    create_index(books.local, "books")
    return {}


STARTS_OVER: list[tuple[Callable[[BooksIndex, FileObject], dict[str, Any]], str]] = [
    (changed_source, "source changed"),
    (same_size_but_newer, "source changed"),
    (another_index, "index, index's creation changed"),
    (recreated_index, "index's creation changed"),
    (lambda books, source: {"identity": {"number of clears": "1"}}, "number of clears changed"),
    (lambda books, source: {"operation": "insert"}, "operation changed"),
    (lambda books, source: {"dead_letters": True}, "dead-letter file changed"),
]


@pytest.mark.parametrize(("change", "why"), STARTS_OVER, ids=[why for _, why in STARTS_OVER])
def test_load_changed_identity_starts_over_with_reason(
    interrupted: Interrupted,
    change: Callable[[BooksIndex, FileObject], dict[str, Any]],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    books, store, source = interrupted
    options = {"source": source, **change(books, source)}
    with caplog.at_level(logging.INFO):
        receipt = load_again(books, store, **options)
    assert f"Starting over: the checkpoint belongs to another load ({why})." in caplog.text
    assert sum(request.vectors for request in books.write_requests()) == receipt.vectors == 100
    assert books.dump() == expected_dump(make_rows(100))


def test_load_deleted_dead_letters_start_over(books: BooksIndex, caplog: pytest.LogCaptureFixture) -> None:
    rows, store = make_rows(100), MemoryStore()
    rows[5]["values"] = [1]
    source = books.write_source(rows)
    books.local.fail("http_500", operation="upsert", after=3, times=None)
    with pytest.raises(ServerError):
        load_again(books, store, source, dead_letters=True)
    books.local.clear_faults()
    books.target.path.unlink()

    with caplog.at_level(logging.INFO):
        receipt = load_again(books, store, source, dead_letters=True)

    assert "bad.ndjson has changed." in caplog.text
    assert (receipt.vectors, receipt.rejected) == (99, 1)
    assert [letter["line"] for letter in books.target.dead_letters()] == [6]


def test_load_empty_dead_letters_resume(books: BooksIndex) -> None:
    store, source = MemoryStore(), books.write_source(make_rows(100))
    books.local.fail("http_500", operation="upsert", after=3, times=None)
    with pytest.raises(ServerError):
        load_again(books, store, source, dead_letters=True)
    books.local.clear_faults()
    receipt = load_again(books, store, source, dead_letters=True)
    assert (receipt.vectors, receipt.rejected) == (100, 0)
    assert books.target.read() == b""


class PartOfFile(FileObject):
    """A part of a file, as a plan names it."""

    def __init__(self, path: Path, part: parts.Part) -> None:
        super().__init__(path)
        self._part = part
        self.uri = parts.PartName(self.uri, part)
        self.size = part.end - part.start

    @contextmanager
    def open(self, offset: int) -> Iterator[Text]:
        with raise_source_errors(self.uri), open(self._path, "rb", buffering=0) as raw:
            yield parts.open_part(raw, self.uri, self._part, offset)


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["part", ".ndjson", ".ndjson.gz", ".ndjson.zst"])
def test_load_resumes_around_object_with_byte_order_mark(books: BooksIndex, kind: str, after: int) -> None:
    """A batch ends where the first object does, so a checkpoint lies directly after the second one's mark."""
    rows, store = make_rows(60), MemoryStore()
    marked = BOM + ndjson(rows[20:40])
    second = books.write_source(marked + ndjson(make_rows(9, first=900)), f"second{kind.removeprefix('part')}")
    if kind == "part":
        second = PartOfFile(books.folder / "second", parts.Part(0, len(marked)))
    else:
        second = books.write_source(marked, f"second{kind}")
    shard = [
        books.write_source(rows[:20], "first.ndjson"),
        second,
        books.write_source(BOM + ndjson(rows[40:]), "third.ndjson"),
    ]
    books.local.fail("http_500", operation="upsert", after=after, times=None)
    with pytest.raises(ServerError):
        load_again(books, store, shard)  # type: ignore[arg-type]
    books.local.clear_faults()

    receipt = load_again(books, store, shard)  # type: ignore[arg-type]

    assert receipt.vectors == 60
    assert sum(request.vectors for request in books.acknowledged_requests()) == 60
    assert books.dump() == expected_dump(rows)


def test_load_several_objects_resumes_at_unfinished_one(books: BooksIndex) -> None:
    rows, store = make_rows(100), MemoryStore()
    sources = [
        books.write_source(rows[n : n + 25], f"{n}.ndjson{suffix}")
        for n, suffix in ((0, ""), (25, ".gz"), (50, ".zst"), (75, ""))
    ]
    books.local.fail("http_500", operation="upsert", after=4, times=None)
    with pytest.raises(ServerError):
        load_again(books, store, sources)  # type: ignore[arg-type]
    books.local.clear_faults()
    receipt = load_again(books, store, sources)  # type: ignore[arg-type]
    assert sum(request.vectors for request in books.acknowledged_requests()) == receipt.vectors == 100
    assert books.dump() == expected_dump(rows)
