"""``Expect: 100-continue``: the body is requested only if the request is not refused before it."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import Http, ndjson, vector


def exchange(local: LocalVectorize, head: str, body: bytes, sends_body: Callable[[bytes], bool]) -> tuple[bytes, bytes]:
    """Send headers, then the body if the first response permits it. Return both responses."""
    with socket.create_connection(("127.0.0.1", local.port), timeout=20) as connection:
        connection.sendall(head.encode())
        first = connection.recv(65_536)
        if not sends_body(first):
            return first, b""
        connection.sendall(body)
        return first, connection.recv(65_536)


def head(http: Http, length: int) -> str:
    path = http.url("/books/upsert").partition(f":{http.local.port}")[2]
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {http.local.token}\r\n"
        f"Content-Type: application/x-ndjson\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    )


def test_expect_100_continue_is_answered_before_the_body(http: Http) -> None:
    http.create()
    body = ndjson([vector("a", 1)])
    first, second = exchange(http.local, head(http, len(body)), body, lambda text: b"100 Continue" in text)
    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert second.startswith(b"HTTP/1.1 200 ")
    assert http.info()["vectorCount"] == 1


@pytest.mark.parametrize("refusal", ["size", "index", "fault"])
def test_expect_100_continue_of_refused_request_gets_the_error(http: Http, refusal: str) -> None:
    if refusal != "index":
        http.create()
    if refusal == "fault":
        http.local.fail("rate_limit")
    length = 100_000_001 if refusal == "size" else 1_000
    first, _ = exchange(http.local, head(http, length), b"", lambda text: b"100 Continue" in text)
    status = {"size": b"413", "index": b"404", "fault": b"429"}[refusal]
    assert first.startswith(b"HTTP/1.1 " + status)
