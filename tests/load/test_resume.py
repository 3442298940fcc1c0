"""When a retry goes on, and when it starts over and says why."""

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
from tests.support import FileObject, MemoryStore, client_of, create, make_rows, ndjson, truth

from .conftest import Books

GIVES_UP = {"total": 0.0}


@pytest.fixture
def interrupted(books: Books) -> tuple[Books, MemoryStore, FileObject]:
    """A load of a hundred rows of which thirty are acknowledged."""
    store, source = MemoryStore(), books.file(make_rows(100))
    books.local.fail("http_500", operation="upsert", after=3, times=None)
    with pytest.raises(ServerError):
        once_more(books, store, source)
    books.local.clear_faults()
    books.local.clear_requests()
    assert store.value["receipt"]["vectors"] == 30
    return books, store, source


def once_more(books: Books, store: MemoryStore, source: FileObject, **options: Any) -> Receipt:
    from airflow_provider_vectorize.api.retry import RetryPolicy

    options = {"identity": {"number of clears": "0"}, "max_in_flight": 1, **options}
    # Other tests cover requests that were given up: no test here waits for them.
    client = {"retry": RetryPolicy(**GIVES_UP), "limits": Limits(late_seconds=0)}
    return books.load(source, store=store, client=client, **options)


Interrupted = tuple[Books, MemoryStore, FileObject]


def test_the_same_load_goes_on(interrupted: Interrupted, caplog: pytest.LogCaptureFixture) -> None:
    books, store, source = interrupted
    with caplog.at_level(logging.INFO):
        receipt = once_more(books, store, source)
    assert "Going on where the last attempt was, at line 31 of" in caplog.text
    assert sum(one.vectors for one in books.writes()) == 70
    assert receipt.vectors == 100
    assert books.dump() == truth(make_rows(100))


def test_other_sizes_of_batches_and_more_requests_in_flight_do_not_matter(interrupted: Interrupted) -> None:
    books, store, source = interrupted
    receipt = once_more(books, store, source, per_request=13, max_in_flight=5, validation="light")
    assert sum(one.vectors for one in books.writes()) == 70
    assert receipt.vectors == 100
    assert books.dump() == truth(make_rows(100))


def test_a_load_that_was_done_sends_nothing_again_and_gives_the_same_receipt(books: Books) -> None:
    store, source = MemoryStore(), books.file(make_rows(100))
    first = once_more(books, store, source)
    books.local.clear_requests()
    assert once_more(books, store, source) == first
    assert books.writes() == []


def test_without_an_identity_nothing_tells_a_retry_from_the_next_load(books: Books) -> None:
    store, source = MemoryStore(), books.file(make_rows(100))
    books.load(source, store=store)
    assert store.value is None
    books.load(source, store=store)
    assert sum(one.vectors for one in books.writes()) == 200


def changed_source(books: Books, source: FileObject) -> dict[str, Any]:
    Path(source.uri.removeprefix("file://")).write_bytes(b"\n" + books.folder.joinpath("source.ndjson").read_bytes())
    return {"source": FileObject(books.folder / "source.ndjson")}


def same_size_but_newer(books: Books, source: FileObject) -> dict[str, Any]:
    return {"source": books.file(make_rows(100))}


def another_index(books: Books, source: FileObject) -> dict[str, Any]:
    create(books.local, "films")
    books.name = "films"
    return {}


def recreated_index(books: Books, source: FileObject) -> dict[str, Any]:
    with client_of(books.local) as client:
        client.delete_index("books")
    create(books.local, "books")
    return {}


STARTS_OVER: list[tuple[Callable[[Books, FileObject], dict[str, Any]], str]] = [
    (changed_source, "source changed"),
    (same_size_but_newer, "source changed"),
    (another_index, "index, index's creation changed"),
    (recreated_index, "index's creation changed"),
    (lambda books, source: {"identity": {"number of clears": "1"}}, "number of clears changed"),
    (lambda books, source: {"operation": "insert"}, "operation changed"),
    (lambda books, source: {"dead_letters": True}, "dead-letter file changed"),
]


@pytest.mark.parametrize(("change", "why"), STARTS_OVER, ids=[why for _, why in STARTS_OVER])
def test_another_load_starts_over_and_says_why(
    interrupted: Interrupted,
    change: Callable[[Books, FileObject], dict[str, Any]],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    books, store, source = interrupted
    options = {"source": source, **change(books, source)}
    with caplog.at_level(logging.INFO):
        receipt = once_more(books, store, **options)
    assert f"The checkpoint is of another load ({why}): starting over." in caplog.text
    assert sum(one.vectors for one in books.writes()) == receipt.vectors == 100
    assert books.dump() == truth(make_rows(100))


def test_dead_letters_that_are_gone_start_it_over(books: Books, caplog: pytest.LogCaptureFixture) -> None:
    rows, store = make_rows(100), MemoryStore()
    rows[5]["values"] = [1]
    source = books.file(rows)
    books.local.fail("http_500", operation="upsert", after=3, times=None)
    with pytest.raises(ServerError):
        once_more(books, store, source, dead_letters=True)
    books.local.clear_faults()
    books.target.path.unlink()

    with caplog.at_level(logging.INFO):
        receipt = once_more(books, store, source, dead_letters=True)

    assert "is not what it was: starting over." in caplog.text
    assert (receipt.vectors, receipt.rejected) == (99, 1)
    assert [one["line"] for one in books.target.letters()] == [6]


def test_an_empty_dead_letter_file_of_an_interrupted_load_goes_on(books: Books) -> None:
    store, source = MemoryStore(), books.file(make_rows(100))
    books.local.fail("http_500", operation="upsert", after=3, times=None)
    with pytest.raises(ServerError):
        once_more(books, store, source, dead_letters=True)
    books.local.clear_faults()
    receipt = once_more(books, store, source, dead_letters=True)
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
def test_a_shard_goes_on_before_within_and_after_an_object_with_a_byte_order_mark(
    books: Books, kind: str, after: int
) -> None:
    """Batches end where the first object does, so a checkpoint stands right behind the second one's mark."""
    rows, store = make_rows(60), MemoryStore()
    marked = BOM + ndjson(rows[20:40])
    second = books.file(marked + ndjson(make_rows(9, first=900)), f"second{kind.removeprefix('part')}")
    if kind == "part":
        second = PartOfFile(books.folder / "second", parts.Part(0, len(marked)))
    else:
        second = books.file(marked, f"second{kind}")
    shard = [books.file(rows[:20], "first.ndjson"), second, books.file(BOM + ndjson(rows[40:]), "third.ndjson")]
    books.local.fail("http_500", operation="upsert", after=after, times=None)
    with pytest.raises(ServerError):
        once_more(books, store, shard)  # type: ignore[arg-type]
    books.local.clear_faults()

    receipt = once_more(books, store, shard)  # type: ignore[arg-type]

    assert receipt.vectors == 60
    assert sum(one.vectors for one in books.acknowledged()) == 60
    assert books.dump() == truth(rows)


def test_several_objects_are_gone_through_from_the_one_that_was_being_read(books: Books) -> None:
    rows, store = make_rows(100), MemoryStore()
    sources = [
        books.file(rows[n : n + 25], f"{n}.ndjson{suffix}")
        for n, suffix in ((0, ""), (25, ".gz"), (50, ".zst"), (75, ""))
    ]
    books.local.fail("http_500", operation="upsert", after=4, times=None)
    with pytest.raises(ServerError):
        once_more(books, store, sources)  # type: ignore[arg-type]
    books.local.clear_faults()
    receipt = once_more(books, store, sources)  # type: ignore[arg-type]
    assert sum(one.vectors for one in books.acknowledged()) == receipt.vectors == 100
    assert books.dump() == truth(rows)
