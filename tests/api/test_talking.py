"""What goes over the wire, what must not, and what happens to an answer that is none."""

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
from tests.api.conftest import Time, ndjson, vector

Make = Callable[..., VectorizeClient]
ONCE = RetryPolicy(total=0)
SECRET = "cfut_do-not-show-this"


class Listener:
    """Takes one request on a port of its own, keeps its head, and answers with what it was given."""

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


NOTHING = b'{"success": true, "result": [], "errors": [], "messages": []}'
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(NOTHING), NOTHING)


def talking_to(listener: Listener, **fields: str) -> VectorizeClient:
    return VectorizeClient(Credentials(ACCOUNT_ID, base_url=listener.base_url, **fields), retry=ONCE, timeout=20)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


# ---------------------------------------------------------------- what is sent


def test_a_token_goes_as_bearer_and_the_client_says_who_it_is() -> None:
    with Listener(EMPTY) as listener, talking_to(listener, secret=SECRET) as client:
        client.list_indexes()
    assert f"Authorization: Bearer {SECRET}\r\n" in listener.head
    assert f"User-Agent: airflow-provider-vectorize/{__version__}\r\n" in listener.head
    assert listener.head.startswith(f"GET /accounts/{ACCOUNT_ID}/vectorize/v2/indexes HTTP/1.1\r\n")


def test_a_global_key_goes_with_its_e_mail_and_not_as_bearer() -> None:
    with Listener(EMPTY) as listener, talking_to(listener, secret=SECRET, email="a@b.example") as client:
        client.list_indexes()
    assert "X-Auth-Email: a@b.example\r\n" in listener.head
    assert f"X-Auth-Key: {SECRET}\r\n" in listener.head
    assert "Authorization" not in listener.head


def test_a_netrc_does_not_replace_the_token(
    client: VectorizeClient, local_vectorize: LocalVectorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    url = f"{local_vectorize.base_url}/accounts/{local_vectorize.account_id}/vectorize/v2/indexes"
    bare = requests.get(url, headers={"Authorization": f"Bearer {local_vectorize.token}"}, timeout=60)
    assert bare.status_code == 400  # so a .netrc does get in the way of a header
    assert [index.name for index in client.list_indexes()] == ["books"]


@pytest.mark.parametrize("name", ["a/b", "../x", "a?b=c", "a#b", "a%2Fb", "a b", "", ".", "ä", "x" * 65, "books\n"])
def test_a_name_that_would_lead_elsewhere_is_never_sent(
    make_client: Make, local_vectorize: LocalVectorize, name: str
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


def test_a_cursor_with_any_characters_is_one_parameter(
    client: VectorizeClient, local_vectorize: LocalVectorize
) -> None:
    local_vectorize.clear_requests()
    with pytest.raises(errors.CursorExpiredError):
        client.list_page("books", cursor="a&count=1#/..?")
    (request,) = local_vectorize.requests()
    assert "count=1000" in request.query
    assert request.path.endswith("/indexes/books/list")


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize("method", ["read", "write"])
def test_a_redirect_is_not_followed_so_the_token_goes_nowhere_else(
    make_client: Make, local_vectorize: LocalVectorize, method: str
) -> None:
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


# ---------------------------------------------------------------- answers that are none


def test_an_answer_without_end_is_cut_off(
    local_vectorize: LocalVectorize, make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 100_000)
    local_vectorize.fail("answer", status=200, text="x" * 200_000, times=None)
    with pytest.raises(errors.MalformedAnswerError, match="is not from Vectorize") as caught:
        make_client(retry=ONCE).list_indexes()
    assert caught.value.method == "GET"


@pytest.mark.parametrize(
    "result",
    ['{"a": 1}', '[{"name": "x"}]', '[{"name": "x", "config": {"dimensions": "many", "metric": "cosine"}}]', "7"],
)
def test_a_result_of_an_unknown_shape_is_no_answer(
    make_client: Make, local_vectorize: LocalVectorize, result: str
) -> None:
    local_vectorize.fail("answer", status=200, text=f'{{"success": true, "result": {result}}}')
    with pytest.raises(errors.MalformedAnswerError, match="has an unknown format") as caught:
        make_client().list_indexes()
    assert caught.value.path.endswith("/vectorize/v2/indexes")


def test_where_nobody_listens_there_is_no_answer_and_the_address_is_told(make_client: Make) -> None:
    address = closed_port()
    with pytest.raises(errors.NoAnswerError) as caught:
        make_client(retry=ONCE, base_url=address).list_indexes()
    assert address.removeprefix("http://") in str(caught.value)
    assert "connection refused" in str(caught.value)
    assert caught.value.status is None


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(make_client: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = make_client(retry=ONCE, base_url=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        with pytest.raises(errors.NoAnswerError, match="no data arrived for"):
            client.list_indexes()


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "x..example", "*.example"])
def test_an_address_that_can_be_none_is_not_tried_again(make_client: Make, time: Time, host: str) -> None:
    client = make_client(base_url=f"http://{host}")
    with pytest.raises(errors.ConfigError, match="cannot be sent"):
        client.list_indexes()
    assert time.waits == []


# ---------------------------------------------------------------- the secret


def test_no_error_no_log_and_no_pickle_ever_shows_the_token(
    make_client: Make, local_vectorize: LocalVectorize, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(secret=SECRET, retry=RetryPolicy(total=3))
    plans: list[tuple[str, dict[str, object]]] = [
        ("none", {}),
        ("http_500", {}),
        ("gateway_504_html", {}),
        ("redirect", {}),
        ("cut_before", {}),
        ("not_json", {}),
        ("answer", {"status": 200, "text": "x"}),
        ("rate_limit", {}),
    ]
    said = []
    with caplog.at_level(logging.DEBUG):
        for fault, options in plans:
            local_vectorize.clear_faults()
            if fault != "none":
                local_vectorize.fail(fault, times=None, **options)
            try:
                client.upsert("books", ndjson(vector("a", 1)))
            except errors.ApiError as error:
                said += [str(error), repr(error), repr(error.facts), repr(pickle.dumps(error))]
                said += traceback.format_exception(error)
        for address in (closed_port(), "http://" + "a" * 64 + ".example"):
            try:
                make_client(secret=SECRET, retry=ONCE, base_url=address).list_indexes()
            except errors.VectorizeError as error:
                said += [str(error), *traceback.format_exception(error)]
    assert len(said) > 30
    for text in (*said, caplog.text, repr(client.credentials), repr(client)):
        assert SECRET not in text


# ---------------------------------------------------------------- stopping


def test_a_stop_ends_a_wait_for_a_retry(make_client: Make, local_vectorize: LocalVectorize) -> None:
    local_vectorize.fail("http_500", times=None)
    client = make_client()
    client.stop()
    with pytest.raises(StoppedError):
        client.list_indexes()
