"""Early answers, slow answers and answers that never end, over HTTP and TLS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api import wire
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.pacing import StoppedError
from tests.api.servers import (
    ACKNOWLEDGMENT,
    Server,
    client_for,
    error_body,
    http_answer,
    read_headers,
    upsert,
    write_certificate,
)

Start = Callable[..., tuple[Server, VectorizeClient]]
#: Larger than all socket buffers together.
LARGE = b"x" * 32_000_000


class Pieces:
    """A request body that is read in pieces, as in a load."""

    def __len__(self) -> int:
        return len(LARGE)

    def __iter__(self) -> Iterator[memoryview]:
        view = memoryview(LARGE)
        return (view[start : start + 2_000_000] for start in range(0, len(view), 2_000_000))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture(params=["http", "https"])
def serve(request: pytest.FixtureRequest, bundle: Path) -> Iterator[Start]:
    """Return a function that starts a server, with or without TLS, and a client for it."""
    to_close: list[Any] = []

    def start(handle: Callable[[Any], None], **options: Any) -> tuple[Server, VectorizeClient]:
        server = Server(handle, bundle if request.param == "https" else None)
        client = client_for(server.base_url, **{"verify": str(bundle)} | options)
        to_close.extend([client, server])
        return server, client

    yield start
    for resource in to_close:
        resource.__exit__(None, None, None)


# ---------------------------------------------------------------- early answers


@pytest.mark.parametrize("body", [LARGE, Pieces()], ids=["bytes", "pieces"])
@pytest.mark.parametrize(
    ("answer", "cls"),
    [
        (http_answer(413, b"<title>413</title>", "Connection: close"), errors.PayloadTooLargeError),
        (http_answer(413, b"<title>413</title>"), errors.PayloadTooLargeError),
        (http_answer(400, error_body(40023, "failed to parse")), errors.RefusedVectorError),
        (http_answer(401, error_body(10000, "Authentication error")), errors.AuthError),
        (http_answer(403, error_body(10000, "Authentication error")), errors.AuthError),
        (http_answer(429, error_body(971, "Please wait"), "Retry-After: 0"), errors.RateLimitedError),
        (http_answer(503, b""), errors.ServerError),
    ],
    ids=["413-close", "413", "400", "401", "403", "429", "503"],
)
def test_upload_early_answer_is_found(serve: Start, body: Any, answer: bytes, cls: type[errors.ApiError]) -> None:
    def answer_and_close(connection: Any) -> None:
        read_headers(connection)
        connection.sendall(answer)

    _, client = serve(answer_and_close)
    for _ in range(3):
        with pytest.raises(errors.ApiError) as caught:
            upsert(client, body)
        assert type(caught.value) is cls, str(caught.value)


def test_upload_early_answer_on_open_connection_is_found(
    serve: Start,
) -> None:
    end = threading.Event()

    def answer_and_stay(connection: Any) -> None:
        read_headers(connection)
        connection.sendall(http_answer(413, b""))
        end.wait(20)

    server, client = serve(answer_and_stay, timeout=0.5)
    for _ in range(2):
        with pytest.raises(errors.PayloadTooLargeError):
            upsert(client, Pieces())
    assert server.connections == 2  # A connection with an unsent rest of a body is not reused.
    end.set()


def test_upload_cut_without_answer_raises_no_answer(
    serve: Start,
) -> None:
    _, client = serve(lambda connection: read_headers(connection) and None)
    with pytest.raises(errors.NoAnswerError) as caught:
        upsert(client, Pieces())
    assert "TLS failed" not in str(caught.value)


def test_upload_stalled_names_the_timeout(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "EARLY_ANSWER_SECONDS", 0.1)
    end = threading.Event()

    def stop_reading(connection: Any) -> None:
        read_headers(connection)
        end.wait(60)

    for body in (LARGE, Pieces()):
        _, client = serve(stop_reading, timeout=0.5)
        with pytest.raises(errors.NoAnswerError, match=r"no more data for 0\.5 s, the timeout of the connection"):
            upsert(client, body)
    end.set()


# ---------------------------------------------------------------- slow answers


def send_slowly(start: bytes, end: threading.Event) -> Callable[[Any], None]:
    def handle(connection: Any) -> None:
        read_headers(connection)
        connection.sendall(start)
        while not end.wait(0.05):
            connection.sendall(b"x")

    return handle


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nX-Slow: ", http_answer(200, b"x" * 10_000)[:-10_000]], ids=["headers", "body"]
)
def test_answer_that_never_ends_times_out(serve: Start, start: bytes) -> None:
    end = threading.Event()
    _, client = serve(send_slowly(start, end), timeout=0.3)
    with pytest.raises(errors.NoAnswerError, match=r"the answer was not complete after 0\.6 s, twice the timeout"):
        client.list_indexes()
    end.set()


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["silent", "slow"])
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.list_indexes(),
        lambda client: client.get_by_ids("books", ["a"]),
        lambda client: client.query("books", vector_id="a"),
    ],
    ids=["list_indexes", "get_by_ids", "query"],
)
def test_stop_aborts_read_in_flight(serve: Start, start: bytes, call: Callable[[VectorizeClient], Any]) -> None:
    end, received = threading.Event(), threading.Event()
    answer = send_slowly(start, end) if start else lambda connection: read_headers(connection) and end.wait(60)

    def handle(connection: Any) -> None:
        received.set()
        answer(connection)

    _, client = serve(handle, timeout=3_600)

    def stop() -> None:
        received.wait(20)
        client.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(StoppedError):
        call(client)
    thread.join()
    end.set()


def test_stop_lets_write_in_flight_finish(
    serve: Start,
) -> None:
    received, stopped = threading.Event(), threading.Event()

    def handle(connection: Any) -> None:
        read_headers(connection)
        received.set()
        stopped.wait(20)
        time.sleep(3 * wire.CHECK_SECONDS)  # long enough for the client to notice the stop
        connection.sendall(http_answer(200, ACKNOWLEDGMENT))

    _, client = serve(handle, timeout=20)

    def stop() -> None:
        received.wait(20)
        client.stop()
        stopped.set()

    thread = threading.Thread(target=stop)
    thread.start()
    assert upsert(client).result == {"mutationId": "m"}
    thread.join()


def test_connection_is_reused(serve: Start) -> None:
    def answer_requests(connection: Any) -> None:
        while read_headers(connection):
            connection.sendall(http_answer())

    server, client = serve(answer_requests)
    for _ in range(5):
        assert client.list_indexes() == []
    assert server.connections == 1


@pytest.mark.parametrize(
    ("method", "url", "reads"),
    [
        ("GET", "/accounts/a/vectorize/v2/indexes", True),
        ("POST", "/accounts/a/vectorize/v2/indexes/query/query", True),
        ("POST", "/accounts/a/vectorize/v2/indexes/b/get_by_ids", True),
        ("POST", "/accounts/a/vectorize/v2/indexes/query/upsert?x=/query", False),
        ("POST", "/accounts/a/vectorize/v2/indexes/b/delete_by_ids", False),
        ("POST", "/accounts/a/vectorize/v2/indexes", False),
        ("DELETE", "/accounts/a/vectorize/v2/indexes/query", False),
    ],
)
def test_only_reads_recognizes_requests_without_changes(method: str, url: str, reads: bool) -> None:
    assert wire.only_reads(method, url) is reads
