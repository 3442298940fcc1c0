"""Early answers, slow answers and answers that never end, over HTTP and over TLS."""

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
    ACKNOWLEDGED,
    Server,
    certificate,
    client_of,
    http_answer,
    read_head,
    refusal,
    upsert,
)

Start = Callable[..., tuple[Server, VectorizeClient]]
#: More than any pair of socket buffers holds.
LARGE = b"x" * 32_000_000


class Pieces:
    """A body in pieces, as a load sends it."""

    def __len__(self) -> int:
        return len(LARGE)

    def __iter__(self) -> Iterator[memoryview]:
        view = memoryview(LARGE)
        return (view[start : start + 2_000_000] for start in range(0, len(view), 2_000_000))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture(params=["http", "https"])
def serve(request: pytest.FixtureRequest, bundle: Path) -> Iterator[Start]:
    """Starts a server, with TLS and without, and makes a client for it."""
    made: list[Any] = []

    def start(handle: Callable[[Any], None], **options: Any) -> tuple[Server, VectorizeClient]:
        server = Server(handle, bundle if request.param == "https" else None)
        client = client_of(server.base_url, **{"verify": str(bundle)} | options)
        made.extend([client, server])
        return server, client

    yield start
    for one in made:
        one.__exit__(None, None, None)


# ---------------------------------------------------------------- early answers


@pytest.mark.parametrize("body", [LARGE, Pieces()], ids=["bytes", "pieces"])
@pytest.mark.parametrize(
    ("answer", "cls"),
    [
        (http_answer(413, b"<title>413</title>", "Connection: close"), errors.PayloadTooLargeError),
        (http_answer(413, b"<title>413</title>"), errors.PayloadTooLargeError),
        (http_answer(400, refusal(40023, "failed to parse")), errors.RefusedVectorError),
        (http_answer(401, refusal(10000, "Authentication error")), errors.AuthError),
        (http_answer(403, refusal(10000, "Authentication error")), errors.AuthError),
        (http_answer(429, refusal(971, "Please wait"), "Retry-After: 0"), errors.RateLimitedError),
        (http_answer(503, b""), errors.ServerError),
    ],
    ids=["413-close", "413", "400", "401", "403", "429", "503"],
)
def test_an_answer_before_the_end_of_the_body_is_found(
    serve: Start, body: Any, answer: bytes, cls: type[errors.ApiError]
) -> None:
    def answer_and_close(connection: Any) -> None:
        read_head(connection)
        connection.sendall(answer)

    _, client = serve(answer_and_close)
    for _ in range(3):
        with pytest.raises(errors.ApiError) as caught:
            upsert(client, body)
        assert type(caught.value) is cls, str(caught.value)


def test_an_answer_of_a_server_that_reads_no_further_and_stays_is_found(
    serve: Start,
) -> None:
    end = threading.Event()

    def answer_and_stay(connection: Any) -> None:
        read_head(connection)
        connection.sendall(http_answer(413, b""))
        end.wait(20)

    server, client = serve(answer_and_stay, timeout=0.5)
    for _ in range(2):
        with pytest.raises(errors.PayloadTooLargeError):
            upsert(client, Pieces())
    assert server.connections == 2  # what was not sent is not taken for the next request
    end.set()


def test_a_server_that_cuts_the_body_without_an_answer_is_no_answer(
    serve: Start,
) -> None:
    _, client = serve(lambda connection: read_head(connection) and None)
    with pytest.raises(errors.NoAnswerError) as caught:
        upsert(client, Pieces())
    assert "TLS failed" not in str(caught.value)


def test_a_stalled_upload_names_the_upload_and_its_timeout(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "EARLY_ANSWER_SECONDS", 0.1)
    end = threading.Event()

    def stop_reading(connection: Any) -> None:
        read_head(connection)
        end.wait(60)

    for body in (LARGE, Pieces()):
        _, client = serve(stop_reading, timeout=0.5)
        with pytest.raises(errors.NoAnswerError, match=r"no more data for 0\.5 s, the timeout of the connection"):
            upsert(client, body)
    end.set()


# ---------------------------------------------------------------- slow answers


def drip(start: bytes, end: threading.Event) -> Callable[[Any], None]:
    def handle(connection: Any) -> None:
        read_head(connection)
        connection.sendall(start)
        while not end.wait(0.05):
            connection.sendall(b"x")

    return handle


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nX-Slow: ", http_answer(200, b"x" * 10_000)[:-10_000]], ids=["headers", "body"]
)
def test_an_answer_that_never_ends_has_a_limit(serve: Start, start: bytes) -> None:
    end = threading.Event()
    _, client = serve(drip(start, end), timeout=0.3)
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
def test_a_stop_ends_a_read_that_is_on_the_wire(
    serve: Start, start: bytes, call: Callable[[VectorizeClient], Any]
) -> None:
    end, asked = threading.Event(), threading.Event()
    answer = drip(start, end) if start else lambda connection: read_head(connection) and end.wait(60)

    def handle(connection: Any) -> None:
        asked.set()
        answer(connection)

    _, client = serve(handle, timeout=3_600)

    def stop() -> None:
        asked.wait(20)
        client.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(StoppedError):
        call(client)
    thread.join()
    end.set()


def test_a_stop_lets_a_write_on_the_wire_come_to_its_answer(
    serve: Start,
) -> None:
    asked, stopped = threading.Event(), threading.Event()

    def handle(connection: Any) -> None:
        read_head(connection)
        asked.set()
        stopped.wait(20)
        time.sleep(3 * wire.CHECK_SECONDS)  # long enough for the client to see that it was stopped
        connection.sendall(http_answer(200, ACKNOWLEDGED))

    _, client = serve(handle, timeout=20)

    def stop() -> None:
        asked.wait(20)
        client.stop()
        stopped.set()

    thread = threading.Thread(target=stop)
    thread.start()
    assert upsert(client).result == {"mutationId": "m"}
    thread.join()


def test_a_connection_is_used_again(serve: Start) -> None:
    def answer_for_ever(connection: Any) -> None:
        while read_head(connection):
            connection.sendall(http_answer())

    server, client = serve(answer_for_ever)
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
def test_only_requests_that_change_nothing_may_be_stopped(method: str, url: str, reads: bool) -> None:
    assert wire.only_reads(method, url) is reads
