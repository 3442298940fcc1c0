"""Loads and deletions whose requests are carried out late: the order of what they write holds, also for who is next."""

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
from tests.api.conftest import Time
from tests.support import IMPATIENT, FileObject, MemoryStore, Row, client_of, make_rows, ndjson, truth

from .conftest import Books

FENCE = 120.0
ONCE = RetryPolicy(total=0)
WAITS = "Waiting 120 s before writing"


@pytest.fixture
def time(books: Books) -> Time:
    return Time(books.local)


def load(
    books: Books, time: Time, source: Any, *, late_seconds: float = FENCE, retry: Any = IMPATIENT, **more: Any
) -> Any:
    client = {"clock": time.clock, "limits": Limits(late_seconds=late_seconds), "retry": retry}
    return books.load(source, client=client, max_in_flight=more.pop("max_in_flight", 1), **more)


def much_later(books: Books, time: Time) -> None:
    books.local.shift_clock(time.now + 1_000)


@pytest.mark.parametrize("validation", ["full", "off"])
@pytest.mark.parametrize("late_seconds", [FENCE, 0])
def test_the_last_row_of_an_id_wins_though_the_first_one_is_late(
    books: Books, time: Time, validation: str, late_seconds: float
) -> None:
    rows = make_rows(40)
    rows[25]["id"] = rows[3]["id"]
    books.local.fail("late", operation="upsert", seconds=60)
    load(books, time, rows, late_seconds=late_seconds, validation=validation)
    much_later(books, time)
    assert (books.dump() == truth(rows)) == (late_seconds > 0)


def test_batches_that_share_no_id_go_on_while_one_waits(books: Books, time: Time) -> None:
    books.local.fail("late", operation="upsert", seconds=60)
    load(books, time, make_rows(200))
    writes = books.writes()
    assert len(writes) == 21
    assert writes[-1].started - writes[0].started < FENCE  # by the clock that waits have shifted
    assert time.now >= FENCE  # it waited at its end


@pytest.mark.parametrize("late_seconds", [FENCE, 0])
@pytest.mark.parametrize("first", ["delete", "load"])
def test_the_next_task_is_safe_from_late_requests(books: Books, time: Time, first: str, late_seconds: float) -> None:
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
    much_later(books, time)
    expected = truth(rows) if first == "delete" else {}
    assert (books.dump() == expected) == (late_seconds > 0)


def test_vectors_in_memory_are_written_in_order_though_a_request_is_late(books: Books, time: Time) -> None:
    rows = make_rows(2)
    rows[1]["id"] = rows[0]["id"]
    limits = Limits(vectors_per_request=1, late_seconds=FENCE)
    books.local.fail("late", operation="upsert", seconds=60, times=2, after=0)
    with client_of(books.local, clock=time.clock, limits=limits) as client:
        write_vectors(client, "upsert", books.name, rows)
    much_later(books, time)
    assert books.dump() == truth(rows)


class Killed(BaseException):
    """What ends a process without a word."""


class DiesAfter(MemoryStore):
    """A store in whose process something happens after so many checkpoints."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def save(self, value: dict[str, Any]) -> None:
        super().save(value)
        if len(self.saved) == self._count:
            raise Killed


def kill_a_load(books: Books, time: Time, source: FileObject, rows: list[Row]) -> MemoryStore:
    """Load two batches, and leave the third one on its way when the process dies."""
    store = DiesAfter(2)
    with pytest.raises(Killed):
        load(books, time, source, store=store, identity={"number of clears": "0"})
    books.local.fail("late", operation="upsert", seconds=60)
    with client_of(books.local, retry=ONCE) as client, pytest.raises(NoAnswerError):
        client.upsert(books.name, ndjson(rows[20:30]))
    after = MemoryStore()
    after.value = store.value
    return after


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("late_seconds", [FENCE, 0])
def test_a_retry_waits_for_what_a_killed_attempt_left(
    books: Books, time: Time, caplog: pytest.LogCaptureFixture, durable: bool, late_seconds: float
) -> None:
    rows = make_rows(60)
    rows[55]["id"] = rows[25]["id"]
    source = books.file(rows)
    store = kill_a_load(books, time, source, rows)
    kept: dict[str, Any] = {"store": store} if durable else {}
    receipt = load(
        books,
        time,
        source,
        late_seconds=late_seconds,
        identity={"number of clears": "0"},
        earlier_attempt=True,
        **kept,
    )
    much_later(books, time)
    assert receipt.vectors == 60
    assert (books.dump() == truth(rows)) == (late_seconds > 0)
    assert caplog.text.count(WAITS) == (1 if late_seconds else 0)


def test_the_first_attempt_does_not_wait_and_saves_one_checkpoint_more_than_batches(books: Books, time: Time) -> None:
    store = MemoryStore()
    load(books, time, make_rows(100), store=store, identity={"number of clears": "0"})
    assert time.now == 0
    assert [one["settled"] for one in store.saved] == [False] * 10 + [True]


@pytest.mark.parametrize("clears", ["0", "1"])
def test_after_a_finished_load_a_clear_or_a_repetition_does_not_wait(books: Books, time: Time, clears: str) -> None:
    store, source = MemoryStore(), books.file(make_rows(100))
    load(books, time, source, store=store, identity={"number of clears": "0"})
    load(books, time, source, store=store, identity={"number of clears": clears}, earlier_attempt=True)
    assert time.now == 0


def test_after_a_failure_that_saw_every_answer_a_retry_does_not_wait(books: Books, time: Time) -> None:
    store, source = MemoryStore(), books.file(make_rows(100))
    books.local.fail("answer", operation="upsert", after=3, status=403, code=10000)
    with pytest.raises(AuthError):
        load(books, time, source, store=store, identity={"number of clears": "0"})
    load(books, time, source, store=store, identity={"number of clears": "0"}, earlier_attempt=True)
    assert time.now == 0
    assert books.dump() == truth(make_rows(100))


def test_a_failure_before_the_first_batch_leaves_nothing_to_wait_for_or_to_resume(
    books: Books, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    store, source = MemoryStore(), books.file(make_rows(100))
    books.local.fail("answer", operation="upsert", status=403, code=10000)
    with pytest.raises(AuthError):
        load(books, time, source, store=store, identity={"number of clears": "0"})
    with caplog.at_level(logging.INFO):
        load(books, time, source, store=store, identity={"number of clears": "0"}, earlier_attempt=True)
    assert time.now == 0
    assert "Going on" not in caplog.text


def test_an_attempt_that_dies_after_a_settled_one_is_waited_for(books: Books, time: Time) -> None:
    """What the last but one attempt said of itself does not speak for the last one."""
    rows = make_rows(100)
    store, source = MemoryStore(), books.file(rows)
    books.local.fail("answer", operation="upsert", after=3, status=403, code=10000)
    with pytest.raises(AuthError):
        load(books, time, source, store=store, identity={"number of clears": "0"})
    dies = DiesAfter(1)
    dies.value = store.value
    with pytest.raises(Killed):
        load(books, time, source, store=dies, identity={"number of clears": "0"}, earlier_attempt=True)
    assert len(books.writes()) == 4  # it died before its first request
    store.value = dies.value
    load(books, time, source, store=store, identity={"number of clears": "0"}, earlier_attempt=True)
    assert time.now >= FENCE
    assert books.dump() == truth(rows)


@pytest.mark.parametrize("reads", ["checkpoint of another version", "nothing"])
def test_a_retry_that_knows_nothing_of_the_last_attempt_waits(books: Books, time: Time, reads: str) -> None:
    store = MemoryStore()
    if reads != "nothing":
        store.value = {"version": 1, "settled": "yes"}
    load(books, time, make_rows(10), store=store, identity={"number of clears": "0"}, earlier_attempt=True)
    assert time.now >= FENCE


def test_a_load_that_fails_waits_at_its_end_so_that_its_retry_need_not(
    books: Books, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    store, source = MemoryStore(), books.file(make_rows(100))
    books.local.fail("http_500", operation="upsert", after=3)
    with pytest.raises(ServerError):
        load(books, time, source, store=store, identity={"number of clears": "0"}, retry=ONCE)
    assert time.now == pytest.approx(FENCE, abs=1)
    assert "s before finishing: a request got no answer" in caplog.text
    load(books, time, source, store=store, identity={"number of clears": "0"}, earlier_attempt=True)
    assert time.now == pytest.approx(FENCE, abs=1)


@pytest.mark.parametrize("where", ["before the first write", "at the end", "at the end of a failure"])
def test_a_load_that_waits_can_be_stopped(books: Books, where: str) -> None:
    waiting: list[float] = []
    rows, options = make_rows(10), LoadOptions(limits=Limits(vectors_per_request=10))
    retry = ONCE if "failure" in where else IMPATIENT

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
        with pytest.raises(error, match=r"Internal|stopped|500"):
            run(
                client,
                "upsert",
                client.get_index(books.name),
                [books.file(rows)],
                options,
                store,
                {"number of clears": "0"},
                earlier_attempt=where.startswith("before"),
            )
    assert waiting == [FENCE]
    assert not (store.value or {}).get("settled")


def test_a_deletion_that_waits_can_be_stopped(books: Books) -> None:
    def wait(event: threading.Event, seconds: float) -> bool:
        if seconds > 100:
            client.stop()
        return event.is_set()

    books.local.fail("http_500", operation="delete_by_ids")
    clock = Clock(now=lambda: 0.0, wait=wait)
    stopped = pytest.raises(VectorizeError, match=r"The deletion was stopped\. 1 ids were acknowledged")
    with client_of(books.local, clock=clock, limits=Limits()) as client, stopped:
        delete(client, books.name, ["a"])


def test_the_source_is_read_while_the_first_write_waits(books: Books) -> None:
    """Enough batches for all senders wait in files when the wait begins to count."""
    read, source = threading.Event(), books.file(make_rows(30))

    class Watched(FileObject):
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

    watched = Watched(books.folder / "source.ndjson")
    client = {"clock": Clock(now=lambda: now[0], wait=wait), "limits": Limits()}
    assert watched.uri == source.uri
    receipt = books.load(watched, client=client, max_in_flight=4, earlier_attempt=True)
    assert receipt.vectors == 30
