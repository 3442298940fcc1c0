"""Requests as they are sent, secrets that must not be revealed, and answers that are not valid."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from airflow_provider_vectorize import __version__, errors
from airflow_provider_vectorize.api import transport
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.local.handle import ACCOUNT_ID, LocalVectorize
from tests.api.conftest import FakeTime, ndjson, vector
from tests.api.servers import EMPTY_RESULT, NO_RETRIES, closed_port

MakeClient = Callable[..., VectorizeClient]
SECRET = "cfut_do-not-show-this"


class Listener:
    """A server that accepts one request, stores its headers and sends the given answer."""

    def __init__(self, answer: bytes) -> None:
        self.head = ""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, args=(answer,))
        self._thread.start()

    def _run(self, answer: bytes) -> None:
        connection, _ = self._server.accept()
        with connection:
            self.head = connection.recv(65_536).decode()
            connection.sendall(answer)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._server.close()


EMPTY_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(EMPTY_RESULT), EMPTY_RESULT)


def client_for_listener(listener: Listener, **fields: str) -> VectorizeClient:
    return VectorizeClient(Credentials(ACCOUNT_ID, base_url=listener.base_url, **fields), retry=NO_RETRIES, timeout=20)


def closed_port_url() -> str:
    return f"http://{closed_port()}"


# ---------------------------------------------------------------- requests


def test_send_token_sets_bearer_and_user_agent() -> None:
    with Listener(EMPTY_ANSWER) as listener, client_for_listener(listener, secret=SECRET) as client:
        client.list_indexes()
    assert f"Authorization: Bearer {SECRET}\r\n" in listener.head
    assert f"User-Agent: airflow-provider-vectorize/{__version__}\r\n" in listener.head
    assert listener.head.startswith(f"GET /accounts/{ACCOUNT_ID}/vectorize/v2/indexes HTTP/1.1\r\n")


def test_send_global_key_sets_key_and_email_headers() -> None:
    with (
        Listener(EMPTY_ANSWER) as listener,
        client_for_listener(listener, secret=SECRET, email="a@b.example") as client,
    ):
        client.list_indexes()
    assert "X-Auth-Email: a@b.example\r\n" in listener.head
    assert f"X-Auth-Key: {SECRET}\r\n" in listener.head
    assert "Authorization" not in listener.head


def test_send_ignores_netrc(
    client: VectorizeClient, local_vectorize: LocalVectorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    url = f"{local_vectorize.base_url}/accounts/{local_vectorize.account_id}/vectorize/v2/indexes"
    bare = requests.get(url, headers={"Authorization": f"Bearer {local_vectorize.token}"}, timeout=60)
    assert bare.status_code == 400  # This proves that a .netrc file replaces a header.
    assert [index.name for index in client.list_indexes()] == ["books"]


@pytest.mark.parametrize("name", ["a/b", "../x", "a?b=c", "a#b", "a%2Fb", "a b", "", ".", "ä", "x" * 65, "books\n"])
def test_index_name_unsafe_in_url_sends_nothing(
    make_client: MakeClient, local_vectorize: LocalVectorize, name: str
) -> None:
    client = make_client()
    for call in (
        lambda: client.get_index(name),
        lambda: client.delete_index(name),
        lambda: client.create_index(name, dimensions=32, metric="cosine"),
        lambda: client.upsert(name, b""),
        lambda: list(client.list_vectors(name)),
    ):
        with pytest.raises(errors.ConfigError, match="cannot be the name of an index"):
            call()
    assert local_vectorize.requests() == []


def test_list_page_quotes_cursor(client: VectorizeClient, local_vectorize: LocalVectorize) -> None:
    local_vectorize.clear_requests()
    with pytest.raises(errors.CursorExpiredError):
        client.list_page("books", cursor="a&count=1#/..?")
    (request,) = local_vectorize.requests()
    assert "count=1000" in request.query
    assert request.path.endswith("/indexes/books/list")


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize("method", ["read", "write"])
def test_send_does_not_follow_redirects(make_client: MakeClient, local_vectorize: LocalVectorize, method: str) -> None:
    client = make_client()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        local_vectorize.fail("redirect", location=f"http://127.0.0.1:{elsewhere.getsockname()[1]}/")
        with pytest.raises(errors.TerminalApiError, match="Redirects are not followed") as caught:
            client.list_indexes() if method == "read" else client.upsert("books", ndjson(vector("a", 1)))
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert caught.value.status == 302
    assert len(local_vectorize.requests()) == 1


# ---------------------------------------------------------------- invalid answers


def test_send_too_large_answer_raises(
    local_vectorize: LocalVectorize, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 100_000)
    local_vectorize.fail("answer", status=200, text="x" * 200_000, times=None)
    with pytest.raises(errors.MalformedAnswerError, match="is not from Vectorize") as caught:
        make_client(retry=NO_RETRIES).list_indexes()
    assert caught.value.method == "GET"


@pytest.mark.parametrize(
    "result",
    ['{"a": 1}', '[{"name": "x"}]', '[{"name": "x", "config": {"dimensions": "many", "metric": "cosine"}}]', "7"],
)
def test_list_indexes_result_in_unknown_format_raises(
    make_client: MakeClient, local_vectorize: LocalVectorize, result: str
) -> None:
    local_vectorize.fail("answer", status=200, text=f'{{"success": true, "result": {result}}}')
    with pytest.raises(errors.MalformedAnswerError, match="has an unknown format") as caught:
        make_client().list_indexes()
    assert caught.value.path.endswith("/vectorize/v2/indexes")


def test_send_refused_connection_names_the_address(make_client: MakeClient) -> None:
    address = closed_port_url()
    with pytest.raises(errors.NoAnswerError) as caught:
        make_client(retry=NO_RETRIES, base_url=address).list_indexes()
    assert address.removeprefix("http://") in str(caught.value)
    assert "connection refused" in str(caught.value)
    assert caught.value.status is None


def test_send_silent_server_times_out(make_client: MakeClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = make_client(retry=NO_RETRIES, base_url=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        with pytest.raises(errors.NoAnswerError, match="no data arrived for"):
            client.list_indexes()


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "x..example", "*.example"])
def test_send_invalid_host_raises_without_retry(make_client: MakeClient, fake_time: FakeTime, host: str) -> None:
    client = make_client(base_url=f"http://{host}")
    with pytest.raises(errors.ConfigError, match="cannot be sent"):
        client.list_indexes()
    assert fake_time.waits == []


# ---------------------------------------------------------------- secrets


def test_errors_logs_and_pickles_hide_the_token(
    make_client: MakeClient, local_vectorize: LocalVectorize, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(secret=SECRET, retry=RetryPolicy(total=3))
    faults: list[tuple[str, dict[str, object]]] = [
        ("none", {}),
        ("http_500", {}),
        ("gateway_504_html", {}),
        ("redirect", {}),
        ("cut_before", {}),
        ("not_json", {}),
        ("answer", {"status": 200, "text": "x"}),
        ("rate_limit", {}),
    ]
    texts = []
    with caplog.at_level(logging.DEBUG):
        for fault, options in faults:
            local_vectorize.clear_faults()
            if fault != "none":
                local_vectorize.fail(fault, times=None, **options)
            try:
                client.upsert("books", ndjson(vector("a", 1)))
            except errors.ApiError as error:
                texts += [str(error), repr(error), repr(error.facts), repr(pickle.dumps(error))]
                texts += traceback.format_exception(error)
        for address in (closed_port_url(), "http://" + "a" * 64 + ".example"):
            try:
                make_client(secret=SECRET, retry=NO_RETRIES, base_url=address).list_indexes()
            except errors.VectorizeError as error:
                texts += [str(error), *traceback.format_exception(error)]
    assert len(texts) > 30
    for text in (*texts, caplog.text, repr(client.credentials), repr(client)):
        assert SECRET not in text


# ---------------------------------------------------------------- stopping


def test_stop_ends_wait_for_retry(make_client: MakeClient, local_vectorize: LocalVectorize) -> None:
    local_vectorize.fail("http_500", times=None)
    client = make_client()
    client.stop()
    with pytest.raises(StoppedError):
        client.list_indexes()
