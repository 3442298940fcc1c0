"""Abandoned and late requests: only later writes of the same vectors wait for them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.late import Change, LateRequests
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.pacing import Clock, StoppedError
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import NoAnswerError, ServerError

from .conftest import DIMENSIONS, FakeTime, ndjson, numbered_vectors, vector

MakeClient = Callable[..., VectorizeClient]
LATE_SECONDS = 120.0


def first_value(client: VectorizeClient, vector_id: str = "a") -> float | None:
    vectors = client.get_by_ids("books", [vector_id])
    return vectors[0].values[0] if vectors else None


def upsert(value: float) -> Callable[[VectorizeClient], Any]:
    return lambda client: client.upsert("books", ndjson(vector("a", value)))


def delete(client: VectorizeClient) -> None:
    client.delete_by_ids("books", ["a"])


def insert(client: VectorizeClient) -> None:
    client.insert("books", ndjson(vector("a", 3)))


# Late operation, first write, second write, and the expected value of the vector at the end.
PAIRS: dict[str, tuple[str, Callable[[VectorizeClient], Any], Callable[[VectorizeClient], Any], float | None]] = {
    "upsert, upsert": ("upsert", upsert(1), upsert(2), 2),
    "upsert, delete": ("upsert", upsert(1), delete, None),
    "insert, delete": ("insert", insert, delete, None),
    "delete, upsert": ("delete_by_ids", delete, upsert(2), 2),
    "delete, insert": ("delete_by_ids", delete, insert, 3),
}


@pytest.mark.parametrize("status", [None, 500, 524])
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("late_seconds", [LATE_SECONDS, 0])
def test_late_write_keeps_order_of_two_clients(
    client: VectorizeClient,
    make_client: MakeClient,
    fake_time: FakeTime,
    pair: str,
    status: int | None,
    late_seconds: float,
) -> None:
    operation, first, second, expected = PAIRS[pair]
    local = fake_time.local
    assert local
    options = {"status": status} if status else {}
    local.fail("late", operation=operation, seconds=60, **options)

    for write in (first, second):
        write(make_client(limits=Limits(late_seconds=late_seconds)))

    local.shift_clock(fake_time.now + 1_000)
    order_is_kept = first_value(client) == expected
    assert order_is_kept == (late_seconds > 0)  # Without the wait, the late request changes the order.


@pytest.mark.parametrize("late_seconds", [LATE_SECONDS, 0])
def test_late_index_deletion_does_not_delete_new_index(
    client: VectorizeClient, make_client: MakeClient, fake_time: FakeTime, late_seconds: float
) -> None:
    assert fake_time.local
    fake_time.local.fail("late", operation="delete_index", seconds=60)
    make_client(limits=Limits(late_seconds=late_seconds)).delete_index("books")
    make_client(limits=Limits(late_seconds=late_seconds)).create_index("books", dimensions=DIMENSIONS, metric="cosine")
    fake_time.local.shift_clock(fake_time.now + 1_000)
    assert [index.name for index in client.list_indexes()] == (["books"] if late_seconds else [])


@pytest.mark.parametrize("late_seconds", [LATE_SECONDS, 0])
def test_late_metadata_index_deletion_does_not_delete_new_one(
    client: VectorizeClient, make_client: MakeClient, fake_time: FakeTime, late_seconds: float
) -> None:
    assert fake_time.local
    client.create_metadata_index("books", "genre", "string")
    fake_time.local.fail("late", operation="delete_metadata_index", seconds=60)
    make_client(limits=Limits(late_seconds=late_seconds)).delete_metadata_index("books", "genre")
    make_client(limits=Limits(late_seconds=late_seconds)).create_metadata_index("books", "genre", "string")
    fake_time.local.shift_clock(fake_time.now + 1_000)
    assert len(client.list_metadata_indexes("books")) == (1 if late_seconds else 0)


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("http_500", {}),
        ("gateway_504_html", {}),
        ("gateway_524_html", {}),
        ("cut_before_apply", {}),
        ("cut_after_body", {}),
        ("cut_during_answer", {}),
        ("not_json", {}),
        ("no_mutation_id", {}),
        ("late", {"seconds": 1}),
    ],
)
def test_abandoned_write_waits_before_it_returns(
    client: VectorizeClient, fake_time: FakeTime, caplog: pytest.LogCaptureFixture, fault: str, options: dict[str, Any]
) -> None:
    assert fake_time.local
    fake_time.local.fail(fault, operation="upsert", **options)
    client.upsert("books", ndjson(vector("a", 1)))
    assert fake_time.now >= LATE_SECONDS
    assert "s before finishing: a request got no answer, and Vectorize may still carry it out" in caplog.text


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("rate_limit", {"retry_after": 1}),
        ("throttle_40041", {}),
        ("answer", {"status": 408, "text": "slow"}),
        ("answer", {"status": 425, "text": "early"}),
    ],
)
def test_refused_and_throttled_attempts_are_not_abandoned(
    client: VectorizeClient, fake_time: FakeTime, fault: str, options: dict[str, Any]
) -> None:
    assert fake_time.local
    fake_time.local.fail(fault, operation="upsert", **options)
    client.upsert("books", ndjson(vector("a", 1)))
    assert len(fake_time.local.requests("upsert")) == 2
    assert fake_time.now < LATE_SECONDS


def test_attempt_cut_during_body_is_not_abandoned(client: VectorizeClient, fake_time: FakeTime) -> None:
    assert fake_time.local
    fake_time.local.fail("cut_during_body", operation="upsert", after_bytes=1)
    body = ndjson(
        *(vector(f"v{number}", 1, text="x" * 8_000) for number in range(4_000))
    )  # larger than all socket buffers
    client.upsert("books", body)
    assert len(fake_time.local.requests("upsert")) == 2
    assert fake_time.now < LATE_SECONDS


def test_attempt_without_connection_is_not_abandoned(make_client: MakeClient, fake_time: FakeTime) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        unconnected = make_client(base_url=f"http://127.0.0.1:{port}/client/v4", retry=RetryPolicy(total=5))
        with pytest.raises(NoAnswerError):
            unconnected.delete_index("books")
        with pytest.raises(NoAnswerError):
            unconnected.create_index("books", dimensions=DIMENSIONS, metric="cosine")
    assert unconnected.retries > 1
    assert fake_time.now < LATE_SECONDS


def test_reads_do_not_wait_and_are_not_abandoned(client: VectorizeClient, fake_time: FakeTime) -> None:
    assert fake_time.local
    client.late.add_abandoned()
    for operation in ("get_by_ids", "query"):
        fake_time.local.fail("http_500", operation=operation)
    client.get_by_ids("books", ["a"])
    client.query("books", vector=[1.0] * DIMENSIONS)
    client.get_index_info("books")
    assert fake_time.now < LATE_SECONDS


def test_abandoned_write_waits_before_it_fails(client: VectorizeClient, fake_time: FakeTime) -> None:
    assert fake_time.local
    client.retry = RetryPolicy(total=0)
    fake_time.local.fail("http_500", operation="upsert")
    with pytest.raises(ServerError):
        client.upsert("books", ndjson(vector("a", 1)))
    assert fake_time.now >= LATE_SECONDS


def test_retry_of_abandoned_request_does_not_wait(client: VectorizeClient, fake_time: FakeTime) -> None:
    assert fake_time.local
    fake_time.local.fail("http_500", operation="upsert", times=3)
    client.write("upsert", "books", ndjson(vector("a", 1)), ids=["a"])
    assert fake_time.now < LATE_SECONDS
    assert len(fake_time.local.requests("upsert")) == 4


@pytest.mark.parametrize(("ids", "waits"), [(["b"], False), (["b", "a"], True), (None, True), (["b", None], True)])
def test_write_waits_only_for_requests_that_share_an_id(
    client: VectorizeClient,
    fake_time: FakeTime,
    caplog: pytest.LogCaptureFixture,
    ids: list[str | None] | None,
    waits: bool,
) -> None:
    assert fake_time.local
    fake_time.local.fail("http_500", operation="upsert")
    client.write("upsert", "books", ndjson(vector("a", 1)), ids=["a"])
    client.write("upsert", "books", ndjson(vector("b", 1)), ids=ids)
    assert (fake_time.now >= LATE_SECONDS) == waits
    assert ('s before writing to index "books": an earlier request got no answer' in caplog.text) == waits


def test_write_to_another_index_does_not_wait(client: VectorizeClient, fake_time: FakeTime) -> None:
    assert fake_time.local
    client.create_index("films", dimensions=DIMENSIONS, metric="cosine")
    fake_time.local.fail("http_500", operation="upsert")
    client.write("upsert", "books", ndjson(vector("a", 1)))
    client.write("upsert", "films", ndjson(vector("a", 1)))
    assert fake_time.now < LATE_SECONDS


def test_delete_by_ids_sends_all_requests_before_the_wait(client: VectorizeClient, fake_time: FakeTime) -> None:
    assert fake_time.local
    client.upsert("books", ndjson(*numbered_vectors(250)))
    fake_time.local.fail("http_500", operation="delete_by_ids")
    client.delete_by_ids("books", [f"v{number}" for number in range(250)])
    waits = [seconds for seconds in fake_time.waits if seconds > 100]
    assert len(waits) == 1
    assert fake_time.local.count("books") == 0


def test_writes_after_earlier_attempt_wait_once(
    client: VectorizeClient, fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    client.late.add_abandoned()
    client.upsert("books", ndjson(vector("a", 1)))
    client.delete_by_ids("books", ["a"])
    assert LATE_SECONDS <= fake_time.now < LATE_SECONDS + 1
    assert caplog.text.count("Waiting 120 s before writing") == 1


def test_late_requests_stop_ends_both_waits(client: VectorizeClient, fake_time: FakeTime) -> None:
    client.late.add_abandoned()
    waited: list[float] = []

    def wait(event: threading.Event, seconds: float) -> bool:
        waited.append(seconds)
        client.stop()
        return event.is_set()

    late = LateRequests(LATE_SECONDS, Clock(now=lambda: 0.0, wait=wait), client.pacer.stopped)
    client.late = late
    late.add_abandoned()
    with pytest.raises(StoppedError):
        late.wait_for(Change("books"))
    with pytest.raises(StoppedError):
        late.settle()
    assert waited == [LATE_SECONDS, LATE_SECONDS]


def test_late_requests_wait_for_the_last_of_several() -> None:
    now, sending_stopped = [0.0], threading.Event()

    def wait(event: threading.Event, seconds: float) -> bool:
        now[0] += seconds
        return False

    late = LateRequests(10, Clock(now=lambda: now[0], wait=wait), sending_stopped)
    for second, ids in ((0, ["a"]), (4, ["b"]), (5, ["a", "b"]), (6, ["c"])):
        now[0] = second
        late.add_abandoned(Change("books", ids))
    late.wait_for(Change("films", ["a"]))
    late.wait_for(Change("books", ["d"]))
    assert now[0] == 6
    late.wait_for(Change("books", ["b"]))
    assert now[0] == 15
    assert not late.settled
    late.settle()
    assert now[0] == 16
    assert late.settled
