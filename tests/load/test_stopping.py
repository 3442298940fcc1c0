"""Test that a load that is stopped or interrupted ends soon and leaves a valid checkpoint."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.load.hook_writes import write_vectors
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.load.progress import Progress
from airflow_provider_vectorize.sources.lines import Readable, Text
from tests.support import FileObject, MemoryStore, Row, client_of, expected_dump, make_rows

from .conftest import BooksIndex


def test_stop_load_waiting_for_rate_limit_ends_it(books: BooksIndex) -> None:
    books.local.fail("rate_limit", operation="upsert", retry_after=200, after=2)
    store = MemoryStore()
    stop_load_when(books, store, lambda: len(store.saved) >= 2)


def test_stop_load_waiting_for_source_ends_it(books: BooksIndex) -> None:
    released, asked = threading.Event(), threading.Event()

    class Waiting:
        def __init__(self, stream: Readable) -> None:
            self._stream, self._reads = stream, 0

        def read(self, size: int, /) -> bytes:
            self._reads += 1
            if self._reads > 1:
                asked.set()
                released.wait(60)
            return self._stream.read(5_000)

    class Slow(FileObject):
        @contextmanager
        def open(self, offset: int) -> Iterator[Text]:
            with super().open(offset) as text:
                yield Text(Waiting(text.stream))

    books.write_source(make_rows(100))
    try:
        stop_load_when(books, MemoryStore(), asked.is_set, Slow(books.folder / "source.ndjson"))
    finally:
        released.set()


def stop_load_when(
    books: BooksIndex, store: MemoryStore, when: Callable[[], bool], source: FileObject | None = None
) -> None:
    source = source or books.write_source(make_rows(100))
    options = LoadOptions(max_in_flight=2, limits=Limits(vectors_per_request=10))
    raised: list[BaseException] = []
    with client_of(books.local, retry=RetryPolicy(total=600, first=0.01)) as client:

        def load() -> None:
            try:
                run(client, "upsert", client.get_index("books"), [source], options, store)
            except VectorizeError as error:
                raised.append(error)

        thread = threading.Thread(target=load)
        thread.start()
        tick = threading.Event()
        while not when():
            tick.wait(0.01)
        client.stop()
        thread.join(30)
    assert str(raised[0]).startswith("The load was stopped. ")
    assert "acknowledged" in str(raised[0])


class Timeout(BaseException):
    """An exception like Airflow's task timeout: not an ``Exception``, and raised by a signal at any point."""


@pytest.mark.parametrize("seed", range(6))
def test_load_task_timeout_at_any_moment_keeps_valid_checkpoint(books: BooksIndex, seed: int) -> None:
    rows, store, rng = make_rows(300), MemoryStore(), random.Random(seed)
    rows[100]["values"] = [1]
    source = books.write_source(rows)
    books.local.fail("delay", operation="upsert", seconds=0.02, times=None)

    def ring(*_: object) -> None:
        raise Timeout

    before = signal.signal(signal.SIGALRM, ring)
    attempts = 0
    try:
        while True:
            attempts += 1
            writes_before = len(books.acknowledged_requests())
            try:
                if attempts < 8:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.05, 0.4))
                receipt = books.load(source, store=store, dead_letters=True, identity={"run": "1"}, max_in_flight=3)
                signal.setitimer(signal.ITIMER_REAL, 0)
                break
            except Timeout:
                if store.value:
                    assert store.value["receipt"]["vectors"] <= sum(
                        request.vectors for request in books.acknowledged_requests()
                    )
                assert len(books.write_requests()) >= writes_before
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert books.dump() == expected_dump(row for row in rows if len(row["values"]) > 1)
    assert (receipt.vectors, receipt.rejected) == (299, 1)
    assert [letter["line"] for letter in books.target.dead_letters()] == [101]
    twice = sum(request.vectors for request in books.acknowledged_requests()) - 299
    assert twice <= (attempts - 1) * 3 * 10, "more was sent twice than was in flight"


def test_observer_that_raises_fails_the_load_and_leaves_no_thread(books: BooksIndex) -> None:
    def observe(progress: Progress) -> None:
        raise RuntimeError("the observer failed")

    source = books.write_source(make_rows(20))
    with (
        client_of(books.local) as client,
        pytest.raises(RuntimeError, match="the observer failed"),
    ):
        run(client, "upsert", client.get_index("books"), [source], LoadOptions(), observer=observe)
    left = [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith(("vectorize-reader", "vectorize-sender"))
    ]
    assert left == []


def test_stop_write_vectors_ends_it_and_says_what_was_acknowledged(books: BooksIndex) -> None:
    with client_of(books.local) as client:

        def rows() -> Iterator[Row]:
            for number, row in enumerate(make_rows(30)):
                if number == 25:
                    client.stop()
                yield row

        client.limits = Limits(vectors_per_request=10)
        with pytest.raises(VectorizeError, match=r"The upsert was stopped\. .*20 vectors in 2 requests") as raised:
            write_vectors(client, "upsert", books.name, rows())
    assert "Before that" in str(raised.value)
