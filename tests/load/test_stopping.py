"""A load that is told to stop, or that is interrupted anywhere: it ends soon, and its checkpoint is true."""

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
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.sources.lines import Readable, Text
from tests.support import FileObject, MemoryStore, client_of, make_rows, truth

from .conftest import Books


def test_stopping_ends_a_load_that_waits_for_a_block_to_end(books: Books) -> None:
    books.local.fail("rate_limit", operation="upsert", retry_after=200, after=2)
    store = MemoryStore()
    stopped_by(books, store, lambda: len(store.saved) >= 2)


def test_stopping_ends_a_load_that_waits_for_its_source(books: Books) -> None:
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

    books.file(make_rows(100))
    try:
        stopped_by(books, MemoryStore(), asked.is_set, Slow(books.folder / "source.ndjson"))
    finally:
        released.set()


def stopped_by(books: Books, store: MemoryStore, when: Callable[[], bool], source: FileObject | None = None) -> None:
    source = source or books.file(make_rows(100))
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
    """As Airflow's own: no ``Exception``, raised by a signal wherever the main thread is."""


@pytest.mark.parametrize("seed", range(6))
def test_a_timeout_of_the_task_at_any_moment_leaves_a_checkpoint_that_is_true(books: Books, seed: int) -> None:
    rows, store, rng = make_rows(300), MemoryStore(), random.Random(seed)
    rows[100]["values"] = [1]
    source = books.file(rows)
    books.local.fail("delay", operation="upsert", seconds=0.02, times=None)

    def ring(*_: object) -> None:
        raise Timeout

    before = signal.signal(signal.SIGALRM, ring)
    attempts = 0
    try:
        while True:
            attempts += 1
            known = len(books.acknowledged())
            try:
                if attempts < 8:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.05, 0.4))
                receipt = books.load(source, store=store, dead_letters=True, identity={"run": "1"}, max_in_flight=3)
                signal.setitimer(signal.ITIMER_REAL, 0)
                break
            except Timeout:
                if store.value:
                    assert store.value["receipt"]["vectors"] <= sum(one.vectors for one in books.acknowledged())
                assert len(books.writes()) >= known
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert books.dump() == truth(row for row in rows if len(row["values"]) > 1)
    assert (receipt.vectors, receipt.rejected) == (299, 1)
    assert [one["line"] for one in books.target.letters()] == [101]
    twice = sum(one.vectors for one in books.acknowledged()) - 299
    assert twice <= (attempts - 1) * 3 * 10, "more than what was in flight"
