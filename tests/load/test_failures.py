"""Test loads that fail: the error says what was acknowledged, nothing hangs, and a retry succeeds."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import (
    AuthError,
    BadRowError,
    IndexDeletedError,
    InvalidRequestError,
    NoAnswerError,
    SourceError,
)
from airflow_provider_vectorize.sources.lines import Readable, Text
from tests.support import FileObject, MemoryStore, client_of, expected_dump, make_rows

from .conftest import BooksIndex

ROOT = Path(__file__).parents[2]


def acknowledged_vectors(store: MemoryStore) -> int:
    return int(store.value["receipt"]["vectors"])


@pytest.mark.parametrize("after", [0, 1, 4, 7, 9])
@pytest.mark.parametrize("in_flight", [1, 4])
def test_load_failed_batch_keeps_acknowledged_in_checkpoint(books: BooksIndex, after: int, in_flight: int) -> None:
    """One batch fails permanently while others are in flight, which may still be acknowledged."""
    rows, store = make_rows(100), MemoryStore()
    source = books.write_source(rows)
    books.local.fail("answer", operation="upsert", status=400, code=40026, message="no", after=after)
    books.local.fail("delay", operation="upsert", seconds=0.05, times=None)

    with pytest.raises(InvalidRequestError) as caught:
        books.load(source, store=store, max_in_flight=in_flight)

    acknowledged = {request.mutation_id for request in books.acknowledged_requests()}
    assert set(store.value["receipt"]["mutation_ids"] if store.value else []) == acknowledged
    if after:
        assert f"Before that, {acknowledged_vectors(store)} vectors in {len(acknowledged)} batch" in str(caught.value)
        assert "A retry continues after them" in str(caught.value)
    else:
        assert in_flight > 1 or "Nothing was acknowledged before that." in str(caught.value)

    receipt = books.load(source, store=store, max_in_flight=in_flight)

    assert books.dump() == expected_dump(rows)
    assert sum(request.vectors for request in books.acknowledged_requests()) == 100
    assert (receipt.vectors, receipt.batches) == (100, 10)
    assert set(receipt.mutation_ids) == {request.mutation_id for request in books.acknowledged_requests()}


def test_load_retry_skips_batches_after_unfinished_one(books: BooksIndex, caplog: pytest.LogCaptureFixture) -> None:
    """When the attempt ends, one of the first two batches is not acknowledged, but six others are."""
    rows, store = make_rows(100), MemoryStore()
    source = books.write_source(rows)
    books.local.fail("throttle_40041", operation="upsert", times=1)
    books.local.fail("answer", operation="upsert", status=400, code=40026, after=6)
    with pytest.raises(InvalidRequestError):
        books.load(source, store=store, max_in_flight=2, client={"retry": RetryPolicy(first=60)})
    assert acknowledged_vectors(store) == 60

    with caplog.at_level(logging.INFO):
        receipt = books.load(source, store=store)

    assert (
        "Batches after it that are already acknowledged are skipped. Already acknowledged: 60 vectors in 6 batches"
        in caplog.text
    )
    assert books.dump() == expected_dump(rows)
    assert sum(request.vectors for request in books.acknowledged_requests()) == receipt.vectors == 100


class FailingObject(FileObject):
    """A file whose reads fail in its middle, after something was acknowledged."""

    def __init__(self, path: Path, error: BaseException, store: MemoryStore) -> None:
        super().__init__(path)
        self._error = error
        self._store = store

    @contextmanager
    def open(self, offset: int) -> Iterator[Text]:
        with super().open(offset) as text:
            yield Text(FailingStream(text.stream, self._error, self._store))


class FailingStream:
    def __init__(self, stream: Readable, error: BaseException, store: MemoryStore) -> None:
        self._stream, self._error, self._store, self._reads = stream, error, store, 0

    def read(self, size: int, /) -> bytes:
        self._reads += 1
        tick = threading.Event()
        while self._reads == 10 and not self._store.saved:
            tick.wait(0.01)
        if self._reads > 10:
            raise self._error
        return self._stream.read(1_500)


@pytest.mark.parametrize("error", [OSError("no such file"), RuntimeError("a bug"), SystemExit(3), MemoryError()])
def test_load_reader_error_fails_load_and_keeps_acknowledged(books: BooksIndex, error: BaseException) -> None:
    books.write_source(make_rows(200))
    store = MemoryStore()
    with pytest.raises(SourceError if isinstance(error, OSError) else type(error)):
        books.load(FailingObject(books.folder / "source.ndjson", error, store), store=store, per_request=3)
    if isinstance(error, Exception):
        assert acknowledged_vectors(store) == sum(request.vectors for request in books.acknowledged_requests())
    else:  # The load does not wait for batches in flight.
        assert 0 < acknowledged_vectors(store) <= sum(request.vectors for request in books.acknowledged_requests())


def test_load_source_changed_while_read_fails(books: BooksIndex) -> None:
    class Changing(FileObject):
        reads = 0

        def current_version(self) -> str:
            self.reads += 1
            return f"{super().current_version()} {self.reads}"

    books.write_source(make_rows(5))
    with pytest.raises(SourceError, match="changed while it was read"):
        books.load(Changing(books.folder / "source.ndjson"))


@pytest.mark.parametrize("name", ["source.ndjson.gz", "source.ndjson.zst"])
def test_load_truncated_compressed_source_fails_after_its_rows(books: BooksIndex, name: str) -> None:
    rows = make_rows(2_000)
    books.write_source(rows, name)
    path = books.folder / name
    path.write_bytes(path.read_bytes()[:-200])
    store = MemoryStore()
    with pytest.raises(SourceError, match="is truncated"):
        books.load(FileObject(path), per_request=50, store=store)
    assert 0 < len(books.dump()) < 2_000
    assert books.dump().items() <= expected_dump(rows).items()


def test_load_bad_row_error_says_what_was_acknowledged(books: BooksIndex) -> None:
    rows = [*make_rows(50), {"id": "bad", "values": []}, *make_rows(50, first=50)]
    with pytest.raises(BadRowError) as caught:
        books.load(rows)
    assert caught.value.line == 51
    assert str(caught.value).startswith(f"Line 51 of {books.write_source(rows).uri} (byte ")
    assert "acknowledged" in caught.value.progress


def test_load_wrong_credentials_fails_at_once(books: BooksIndex) -> None:
    books.local.fail("answer", operation="upsert", status=403, code=10000, message="Authentication error", times=None)
    with pytest.raises(AuthError):
        books.load(make_rows(100))
    assert len(books.write_requests()) <= 5


def test_load_index_deleted_meanwhile_fails(books: BooksIndex) -> None:
    store = MemoryStore()

    class Deleting(MemoryStore):
        def save(self, value: dict[str, Any]) -> None:
            super().save(value)
            if len(self.saved) == 2:
                with client_of(books.local) as client:
                    client.delete_index("books")

    with pytest.raises(IndexDeletedError):
        books.load(make_rows(100), store=Deleting())
    assert store.value is None


def test_load_retry_time_exceeded_fails(books: BooksIndex) -> None:
    books.local.fail("cut_before", operation="upsert", times=None)
    policy = RetryPolicy(total=0.3, first=0.01, longest=0.05)
    with pytest.raises(NoAnswerError, match="Gave up after"):
        books.load(make_rows(30), client={"retry": policy})


# ---------------------------------------------------------------------- local failures


def test_load_full_disk_fails_with_clear_error(books: BooksIndex) -> None:
    books.write_source(make_rows(500))
    script = """
import resource, sys
from pathlib import Path
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from tests.support import FileObject
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
account, token, url, path = sys.argv[1:]
client = VectorizeClient(Credentials(account, token, base_url=url))
try:
    run(client, "upsert", client.get_index("books"), [FileObject(Path(path))], LoadOptions())
except VectorizeError as error:
    sys.stdout.write(str(error))
"""
    local = books.local
    command = [sys.executable, "-c", script, local.account_id, local.token, local.base_url]
    command.append(str(books.folder / "source.ndjson"))
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "The temporary directory" in process.stdout
    assert "cannot be used: File too large" in process.stdout
    assert "Nothing was acknowledged before that." in process.stdout


def test_load_failing_checkpoint_store_succeeds(books: BooksIndex) -> None:
    class Failing(MemoryStore):
        def save(self, value: dict[str, Any]) -> None:
            raise ConnectionError("the API server is away")

    rows = make_rows(50)
    assert books.load(rows, store=Failing()).vectors == 50
    assert books.dump() == expected_dump(rows)


def test_load_failed_sample_read_succeeds(books: BooksIndex) -> None:
    books.local.fail("http_500", operation="get_by_ids", times=None)
    receipt = books.load(make_rows(50), client={"retry": RetryPolicy(total=0)})
    assert receipt.vectors == 50
    assert [sample.new for sample in receipt.samples] == [False] * 3


def test_load_unwritable_dead_letters_fail_before_first_request(books: BooksIndex) -> None:
    books.target.path = books.folder / "missing" / "bad.ndjson"
    with pytest.raises(FileNotFoundError):
        books.load(make_rows(50), dead_letters=True)
    assert books.write_requests() == []


def test_load_retry_after_failed_dead_letter_write_has_no_duplicates(books: BooksIndex) -> None:
    rows, store = make_rows(100), MemoryStore()
    for place in (5, 55):
        rows[place]["values"] = [1]
    source = books.write_source(rows)
    write_file, written = books.target.write, []

    def fail_once(content: Any) -> None:
        written.append(content)
        if len(written) == 3:
            raise OSError("no space")
        write_file(content)

    books.target.write = fail_once  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no space"):
        books.load(source, dead_letters=True, store=store)
    receipt = books.load(source, dead_letters=True, store=store)
    # Batches are acknowledged in any order, and so the dead letters of the first attempt may be those of either row.
    assert sorted(letter["line"] for letter in books.target.dead_letters()) == [6, 56]
    assert receipt.rejected == 2
    assert books.dump() == expected_dump(row for row in rows if len(row["values"]) > 1)
