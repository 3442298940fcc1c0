"""A load that fails: what was acknowledged is known, nothing hangs, and a retry ends well."""

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
from tests.support import FileObject, MemoryStore, client_of, make_rows, truth

from .conftest import Books

ROOT = Path(__file__).parents[2]


def vectors_in(store: MemoryStore) -> int:
    return int(store.value["receipt"]["vectors"])


@pytest.mark.parametrize("after", [0, 1, 4, 7, 9])
@pytest.mark.parametrize("in_flight", [1, 4])
def test_what_was_acknowledged_is_in_the_checkpoint_and_is_not_sent_again(
    books: Books, after: int, in_flight: int
) -> None:
    """One batch fails for good while others are in flight: those may still be acknowledged."""
    rows, store = make_rows(100), MemoryStore()
    source = books.file(rows)
    books.local.fail("answer", operation="upsert", status=400, code=40026, message="no", after=after)
    books.local.fail("delay", operation="upsert", seconds=0.05, times=None)

    with pytest.raises(InvalidRequestError) as caught:
        books.load(source, store=store, max_in_flight=in_flight)

    acknowledged = {one.mutation_id for one in books.acknowledged()}
    assert set(store.value["receipt"]["mutation_ids"] if store.value else []) == acknowledged
    if after:
        assert f"Before that, {vectors_in(store)} vectors in {len(acknowledged)} batch" in str(caught.value)
        assert "a retry continues after them" in str(caught.value)
    else:
        assert in_flight > 1 or "Nothing was acknowledged before that." in str(caught.value)

    receipt = books.load(source, store=store, max_in_flight=in_flight)

    assert books.dump() == truth(rows)
    assert sum(one.vectors for one in books.acknowledged()) == 100
    assert (receipt.vectors, receipt.batches) == (100, 10)
    assert set(receipt.mutation_ids) == {one.mutation_id for one in books.acknowledged()}


def test_batches_behind_the_one_that_hangs_are_not_sent_again(books: Books, caplog: pytest.LogCaptureFixture) -> None:
    """One of the first two batches is not through when the attempt ends; six others are."""
    rows, store = make_rows(100), MemoryStore()
    source = books.file(rows)
    books.local.fail("throttle_40041", operation="upsert", times=1)
    books.local.fail("answer", operation="upsert", status=400, code=40026, after=6)
    with pytest.raises(InvalidRequestError):
        books.load(source, store=store, max_in_flight=2, client={"retry": RetryPolicy(first=60)})
    assert vectors_in(store) == 60

    with caplog.at_level(logging.INFO):
        receipt = books.load(source, store=store)

    assert ", and over what was acknowledged after that: 60 vectors in 6 batches" in caplog.text
    assert books.dump() == truth(rows)
    assert sum(one.vectors for one in books.acknowledged()) == receipt.vectors == 100


class Stubborn(FileObject):
    """Raises in the middle of the file, when something was acknowledged."""

    def __init__(self, path: Path, error: BaseException, store: MemoryStore) -> None:
        super().__init__(path)
        self._error = error
        self._store = store

    @contextmanager
    def open(self, offset: int) -> Iterator[Text]:
        with super().open(offset) as text:
            yield Text(Broken(text.stream, self._error, self._store))


class Broken:
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


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("a bug"), SystemExit(3), MemoryError()])
def test_whatever_the_reader_raises_ends_the_load_with_what_was_acknowledged(
    books: Books, error: BaseException
) -> None:
    books.file(make_rows(200))
    store = MemoryStore()
    with pytest.raises(SourceError if isinstance(error, OSError) else type(error)):
        books.load(Stubborn(books.folder / "source.ndjson", error, store), store=store, per_request=3)
    if isinstance(error, Exception):
        assert vectors_in(store) == sum(one.vectors for one in books.acknowledged())
    else:  # nobody waits for what is in flight
        assert 0 < vectors_in(store) <= sum(one.vectors for one in books.acknowledged())


def test_a_source_that_changes_while_it_is_read_fails_the_load(books: Books) -> None:
    class Changing(FileObject):
        reads = 0

        def current_version(self) -> str:
            self.reads += 1
            return f"{super().current_version()} {self.reads}"

    books.file(make_rows(5))
    with pytest.raises(SourceError, match="changed while it was read"):
        books.load(Changing(books.folder / "source.ndjson"))


@pytest.mark.parametrize("name", ["source.ndjson.gz", "source.ndjson.zst"])
def test_a_compressed_source_that_is_cut_off_fails_after_what_it_held(books: Books, name: str) -> None:
    rows = make_rows(2_000)
    books.file(rows, name)
    path = books.folder / name
    path.write_bytes(path.read_bytes()[:-200])
    store = MemoryStore()
    with pytest.raises(SourceError, match="is truncated"):
        books.load(FileObject(path), per_request=50, store=store)
    assert 0 < len(books.dump()) < 2_000
    assert books.dump().items() <= truth(rows).items()


def test_a_bad_row_in_the_middle_fails_and_says_what_was_acknowledged(books: Books) -> None:
    rows = [*make_rows(50), {"id": "bad", "values": []}, *make_rows(50, first=50)]
    with pytest.raises(BadRowError) as caught:
        books.load(rows)
    assert caught.value.line == 51
    assert str(caught.value).startswith(f"Line 51 of {books.file(rows).uri} (byte ")
    assert "acknowledged" in caught.value.progress


def test_wrong_credentials_end_it_at_once(books: Books) -> None:
    books.local.fail("answer", operation="upsert", status=403, code=10000, message="Authentication error", times=None)
    with pytest.raises(AuthError):
        books.load(make_rows(100))
    assert len(books.writes()) <= 5


def test_an_index_that_is_deleted_meanwhile_ends_it(books: Books) -> None:
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


def test_when_time_is_up_for_retries_it_fails(books: Books) -> None:
    books.local.fail("cut_before", operation="upsert", times=None)
    policy = RetryPolicy(total=0.3, first=0.01, longest=0.05)
    with pytest.raises(NoAnswerError, match="Gave up after"):
        books.load(make_rows(30), client={"retry": policy})


# ---------------------------------------------------------------------- the machine


def test_a_disk_that_is_full_ends_a_load_with_one_sentence(books: Books) -> None:
    books.file(make_rows(500))
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
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "The temporary directory" in found.stdout
    assert "cannot be used: File too large" in found.stdout
    assert "Nothing was acknowledged before that." in found.stdout


def test_a_store_that_fails_does_not_fail_the_load(books: Books) -> None:
    class Failing(MemoryStore):
        def save(self, value: dict[str, Any]) -> None:
            raise ConnectionError("the API server is away")

    rows = make_rows(50)
    assert books.load(rows, store=Failing()).vectors == 50
    assert books.dump() == truth(rows)


def test_a_load_does_not_fail_for_want_of_a_proof(books: Books) -> None:
    books.local.fail("http_500", operation="get_by_ids", times=None)
    receipt = books.load(make_rows(50), client={"retry": RetryPolicy(total=0)})
    assert receipt.vectors == 50
    assert [sample.new for sample in receipt.samples] == [False] * 3


def test_dead_letters_that_cannot_be_written_fail_the_load_before_anything_is_sent(books: Books) -> None:
    books.target.path = books.folder / "missing" / "bad.ndjson"
    with pytest.raises(FileNotFoundError):
        books.load(make_rows(50), dead_letters=True)
    assert books.writes() == []


def test_dead_letters_that_can_no_longer_be_written_fail_the_load_and_none_is_there_twice(books: Books) -> None:
    rows, store = make_rows(100), MemoryStore()
    for place in (5, 55):
        rows[place]["values"] = [1]
    source = books.file(rows)
    write, written = books.target.write, []

    def fail_once(content: Any) -> None:
        written.append(content)
        if len(written) == 3:
            raise OSError("no space")
        write(content)

    books.target.write = fail_once  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no space"):
        books.load(source, dead_letters=True, store=store)
    receipt = books.load(source, dead_letters=True, store=store)
    assert [one["line"] for one in books.target.letters()] == [6, 56]
    assert receipt.rejected == 2
    assert books.dump() == truth(row for row in rows if len(row["values"]) > 1)
