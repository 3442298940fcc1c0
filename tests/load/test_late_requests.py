"""Test loads and deletions with late requests: their writes keep their order, also for the task that follows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.pacing import Clock
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import AuthError, NoAnswerError, ServerError, VectorizeError
from airflow_provider_vectorize.load.deletion import delete
from airflow_provider_vectorize.load.hook_writes import write_vectors
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.sources.lines import Text
from tests.api.conftest import FakeTime
from tests.support import IMPATIENT, FileObject, MemoryStore, Row, client_of, expected_dump, make_rows, ndjson

from .conftest import BooksIndex

LATE_SECONDS = 120.0
IDENTITY = {"number of clears": "0"}
NO_RETRY = RetryPolicy(total=0)
WAIT_MESSAGE = "Waiting 120 s before writing"


@pytest.fixture
def time(books: BooksIndex) -> FakeTime:
    return FakeTime(books.local)


def load(books: BooksIndex, time: FakeTime, source: Any, *, late_seconds: float = LATE_SECONDS, **options: Any) -> Any:
    """Load on the clock of the test, which jumps over waits."""
    limits, retry = Limits(late_seconds=late_seconds), options.pop("retry", IMPATIENT)
    client = {"clock": time.clock, "limits": limits, "retry": retry}
    return books.load(source, client=client, **{"max_in_flight": 1, **options})


def process_late_requests(books: BooksIndex, time: FakeTime) -> None:
    books.local.shift_clock(time.now + 1_000)


@pytest.mark.parametrize("validation", ["full", "off"])
@pytest.mark.parametrize("late_seconds", [LATE_SECONDS, 0])
def test_load_late_request_does_not_overwrite_last_row_of_id(
    books: BooksIndex, time: FakeTime, validation: str, late_seconds: float
) -> None:
    rows = make_rows(40)
    rows[25]["id"] = rows[3]["id"]
    books.local.fail("late", operation="upsert", seconds=60)
    load(books, time, rows, late_seconds=late_seconds, validation=validation)
    process_late_requests(books, time)
    assert (books.dump() == expected_dump(rows)) == (late_seconds > 0)


def test_load_late_request_does_not_delay_batches_with_other_ids(books: BooksIndex, time: FakeTime) -> None:
    books.local.fail("late", operation="upsert", seconds=60)
    load(books, time, make_rows(200))
    writes = books.write_requests()
    assert len(writes) == 21
    assert writes[-1].started - writes[0].started < LATE_SECONDS  # By the clock that the waits advance.
    assert time.now >= LATE_SECONDS  # The load waited at its end.


@pytest.mark.parametrize("late_seconds", [LATE_SECONDS, 0])
@pytest.mark.parametrize("first", ["delete", "load"])
def test_next_task_is_not_affected_by_late_requests(
    books: BooksIndex, time: FakeTime, first: str, late_seconds: float
) -> None:
    rows = make_rows(10)
    books.load(rows)

    def remove() -> None:
        with client_of(books.local, clock=time.clock, limits=Limits(late_seconds=late_seconds)) as client:
            delete(client, books.name, [row["id"] for row in rows])

    def write() -> None:
        load(books, time, rows, late_seconds=late_seconds)

    books.local.fail("late", operation="delete_by_ids" if first == "delete" else "upsert", seconds=60)
    for task in (remove, write) if first == "delete" else (write, remove):
        task()
    process_late_requests(books, time)
    expected = expected_dump(rows) if first == "delete" else {}
    assert (books.dump() == expected) == (late_seconds > 0)


def test_write_vectors_late_request_keeps_order(books: BooksIndex, time: FakeTime) -> None:
    rows = make_rows(2)
    rows[1]["id"] = rows[0]["id"]
    limits = Limits(vectors_per_request=1, late_seconds=LATE_SECONDS)
    books.local.fail("late", operation="upsert", seconds=60, times=2, after=0)
    with client_of(books.local, clock=time.clock, limits=limits) as client:
        write_vectors(client, "upsert", books.name, rows)
    process_late_requests(books, time)
    assert books.dump() == expected_dump(rows)


class Killed(BaseException):
    """An error that stands for a killed process."""


class KillingStore(MemoryStore):
    """A store that kills the load after a number of checkpoints."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def save(self, value: dict[str, Any]) -> None:
        super().save(value)
        if len(self.saved) == self._count:
            raise Killed


def kill_a_load(books: BooksIndex, time: FakeTime, source: FileObject, rows: list[Row]) -> MemoryStore:
    """Kill a load after two batches, while the request of the third one can still be carried out."""
    store = KillingStore(2)
    with pytest.raises(Killed):
        load(books, time, source, store=store, identity=IDENTITY)
    books.local.fail("late", operation="upsert", seconds=60)
    with client_of(books.local, retry=NO_RETRY) as client, pytest.raises(NoAnswerError):
        client.upsert(books.name, ndjson(rows[20:30]))
    next_store = MemoryStore()
    next_store.value = store.value
    return next_store


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("late_seconds", [LATE_SECONDS, 0])
def test_load_retry_of_killed_attempt_waits(
    books: BooksIndex, time: FakeTime, caplog: pytest.LogCaptureFixture, durable: bool, late_seconds: float
) -> None:
    rows = make_rows(60)
    rows[55]["id"] = rows[25]["id"]
    source = books.write_source(rows)
    store = kill_a_load(books, time, source, rows)
    checkpoints: dict[str, Any] = {"store": store} if durable else {}
    retried = {"identity": IDENTITY, "earlier_attempt": True, **checkpoints}
    receipt = load(books, time, source, late_seconds=late_seconds, **retried)
    process_late_requests(books, time)
    assert receipt.vectors == 60
    assert (books.dump() == expected_dump(rows)) == (late_seconds > 0)
    assert caplog.text.count(WAIT_MESSAGE) == (1 if late_seconds else 0)


def test_load_first_attempt_does_not_wait(books: BooksIndex, time: FakeTime) -> None:
    store = MemoryStore()
    load(books, time, make_rows(100), store=store, identity=IDENTITY)
    assert time.now == 0
    assert [checkpoint["settled"] for checkpoint in store.saved] == [False] * 10 + [True]


@pytest.mark.parametrize("clears", ["0", "1"])
def test_load_after_finished_load_does_not_wait(books: BooksIndex, time: FakeTime, clears: str) -> None:
    store, source = MemoryStore(), books.write_source(make_rows(100))
    load(books, time, source, store=store, identity=IDENTITY)
    load(books, time, source, store=store, identity={"number of clears": clears}, earlier_attempt=True)
    assert time.now == 0


def test_load_retry_of_settled_failure_does_not_wait(books: BooksIndex, time: FakeTime) -> None:
    store, source = MemoryStore(), books.write_source(make_rows(100))
    books.local.fail("answer", operation="upsert", after=3, status=403, code=10000)
    with pytest.raises(AuthError):
        load(books, time, source, store=store, identity=IDENTITY)
    load(books, time, source, store=store, identity=IDENTITY, earlier_attempt=True)
    assert time.now == 0
    assert books.dump() == expected_dump(make_rows(100))


def test_load_failure_before_first_batch_leaves_nothing_to_resume(
    books: BooksIndex, time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    store, source = MemoryStore(), books.write_source(make_rows(100))
    books.local.fail("answer", operation="upsert", status=403, code=10000)
    with pytest.raises(AuthError):
        load(books, time, source, store=store, identity=IDENTITY)
    with caplog.at_level(logging.INFO):
        load(books, time, source, store=store, identity=IDENTITY, earlier_attempt=True)
    assert time.now == 0
    assert "Resuming" not in caplog.text


def test_load_retry_of_attempt_killed_after_settled_one_waits(books: BooksIndex, time: FakeTime) -> None:
    """The checkpoint of an earlier attempt does not say that the last attempt is settled."""
    rows = make_rows(100)
    store, source = MemoryStore(), books.write_source(rows)
    books.local.fail("answer", operation="upsert", after=3, status=403, code=10000)
    with pytest.raises(AuthError):
        load(books, time, source, store=store, identity=IDENTITY)
    killing_store = KillingStore(1)
    killing_store.value = store.value
    with pytest.raises(Killed):
        load(books, time, source, store=killing_store, identity=IDENTITY, earlier_attempt=True)
    assert len(books.write_requests()) == 4  # The attempt was killed before its first request.
    store.value = killing_store.value
    load(books, time, source, store=store, identity=IDENTITY, earlier_attempt=True)
    assert time.now >= LATE_SECONDS
    assert books.dump() == expected_dump(rows)


@pytest.mark.parametrize("stored", ["checkpoint of another version", "nothing"])
def test_load_retry_without_usable_checkpoint_waits(books: BooksIndex, time: FakeTime, stored: str) -> None:
    store = MemoryStore()
    if stored != "nothing":
        store.value = {"version": 1, "settled": "yes"}
    load(books, time, make_rows(10), store=store, identity=IDENTITY, earlier_attempt=True)
    assert time.now >= LATE_SECONDS


def test_load_failure_waits_at_its_end_instead_of_retry(
    books: BooksIndex, time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    store, source = MemoryStore(), books.write_source(make_rows(100))
    books.local.fail("http_500", operation="upsert", after=3)
    with pytest.raises(ServerError):
        load(books, time, source, store=store, identity=IDENTITY, retry=NO_RETRY)
    assert time.now == pytest.approx(LATE_SECONDS, abs=1)
    assert "s before finishing: a request got no answer" in caplog.text
    load(books, time, source, store=store, identity=IDENTITY, earlier_attempt=True)
    assert time.now == pytest.approx(LATE_SECONDS, abs=1)


@pytest.mark.parametrize("where", ["before the first write", "at the end", "at the end of a failure"])
def test_load_waiting_for_late_requests_can_be_stopped(books: BooksIndex, where: str) -> None:
    waiting: list[float] = []
    rows, options = make_rows(10), LoadOptions(limits=Limits(vectors_per_request=10))
    retry = NO_RETRY if "failure" in where else IMPATIENT

    def wait(event: threading.Event, seconds: float) -> bool:
        if seconds > 100:
            waiting.append(seconds)
            client.stop()
        return event.is_set()

    clock = Clock(now=lambda: 0.0, wait=wait)
    store = MemoryStore()
    with client_of(books.local, clock=clock, limits=Limits(), retry=retry) as client:
        if "end" in where:
            books.local.fail("http_500", operation="upsert")
        error = ServerError if "failure" in where else VectorizeError
        index, objects = client.get_index(books.name), [books.write_source(rows)]
        early = where.startswith("before")
        with pytest.raises(error, match=r"Internal|stopped|500"):
            run(client, "upsert", index, objects, options, store, IDENTITY, earlier_attempt=early)
    assert waiting == [LATE_SECONDS]
    assert not (store.value or {}).get("settled")


def test_deletion_waiting_for_late_requests_can_be_stopped(books: BooksIndex) -> None:
    def wait(event: threading.Event, seconds: float) -> bool:
        if seconds > 100:
            client.stop()
        return event.is_set()

    books.local.fail("http_500", operation="delete_by_ids")
    clock = Clock(now=lambda: 0.0, wait=wait)
    stopped = pytest.raises(VectorizeError, match=r"The deletion was stopped\. Acknowledged before: 1 ID in 1 request")
    with client_of(books.local, clock=clock, limits=Limits()) as client, stopped:
        delete(client, books.name, ["a"])


def test_load_reads_source_while_first_write_waits(books: BooksIndex) -> None:
    """When the wait starts, batches for all senders are already in temporary files."""
    read, source = threading.Event(), books.write_source(make_rows(30))

    class WatchedObject(FileObject):
        @contextmanager
        def open(self, offset: int) -> Iterator[Text]:
            with super().open(offset) as text:
                yield text
            read.set()

    now = [0.0]

    def wait(event: threading.Event, seconds: float) -> bool:
        if seconds > 100:
            assert read.wait(30)
        now[0] += seconds
        return event.is_set()

    watched = WatchedObject(books.folder / "source.ndjson")
    client = {"clock": Clock(now=lambda: now[0], wait=wait), "limits": Limits()}
    assert watched.uri == source.uri
    receipt = books.load(watched, client=client, max_in_flight=4, earlier_attempt=True)
    assert receipt.vectors == 30
