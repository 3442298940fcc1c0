"""What is said of a request without an answer, what is retried, and for how long."""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api import transport
from airflow_provider_vectorize.api.retry import FIRST_CONTACT_SECONDS, RetryPolicy
from airflow_provider_vectorize.api.wire_errors import proxy_variable
from tests.api.conftest import Time
from tests.api.servers import (
    ACKNOWLEDGED,
    NOTHING,
    Server,
    certificate,
    client_of,
    http_answer,
    read_head,
    refusal,
    upsert,
)

SECRET = "cfut_do-not-show-this"
PASSWORD = "pr0xy-pa55word"
PATIENT = RetryPolicy(total=1_800)
PROXY_VARIABLES = [f"{kind}_proxy" for kind in ("http", "https", "all", "no")]


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def answering(*answers: bytes) -> Callable[[Any], None]:
    """Give one answer a request, the last one for ever."""
    rest = itertools.chain(answers, itertools.repeat(answers[-1]))

    def handle(connection: Any) -> None:
        while read_head(connection):
            connection.sendall(next(rest))

    return handle


# ---------------------------------------------------------------- proxies

TLS_BASE = "https://vectorize.invalid/client/v4"
PLAIN_BASE = "http://vectorize.invalid/client/v4"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "HTTPS_PROXY requires credentials (407)"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTPS_PROXY refused the connection (403 Forbidden)"),
    ],
)
def test_a_proxy_that_refuses_a_tunnel_is_said_and_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, said: str
) -> None:
    time = Time()
    with Server(answering(answer)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@{proxy.address}")
        with pytest.raises(errors.TerminalApiError) as caught:
            client_of(TLS_BASE, retry=PATIENT, clock=time.clock).list_indexes()
    assert said in str(caught.value)
    assert PASSWORD not in repr(caught.value)
    assert caught.value.status in (407, 403)
    assert time.waits == []


def test_a_proxy_that_wants_credentials_for_plain_http_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(answering(http_answer(407, b"<title>Squid</title>"))) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:{PASSWORD}@{proxy.address}")
        with pytest.raises(errors.TerminalApiError, match="The proxy requires credentials"):
            client_of(PLAIN_BASE).list_indexes()


def test_a_proxy_that_fails_is_tried_again_for_a_short_time_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    with Server(answering(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://{proxy.address}")
        with pytest.raises(errors.NoAnswerError, match="the environment variable ALL_PROXY could not be used"):
            client_of(TLS_BASE, retry=PATIENT, clock=time.clock).list_indexes()
    assert 0 < time.now <= FIRST_CONTACT_SECONDS


def test_a_proxy_that_is_not_there_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@{closed_port()}")
    with pytest.raises(errors.NoAnswerError, match="HTTPS_PROXY could not be used: connection refused") as caught:
        client_of(TLS_BASE).list_indexes()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        f"http://user:{PASSWORD}#1@proxy.example:3128",
        f"http://user:{PASSWORD}@",
        f"http://user:{PASSWORD}@proxy.example:port",
        f"ftp://user:{PASSWORD}@proxy.example",
        f"htp//user:{PASSWORD}@proxy.example:3128",
        f"http://user:{PASSWORD}@[::1:3128",
        f"http://user:{PASSWORD}@proxy.example:99999",
    ],
)
@pytest.mark.parametrize("base_url", [TLS_BASE, PLAIN_BASE])
def test_a_malformed_proxy_variable_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, base_url: str, value: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    time = Time()
    with pytest.raises(errors.ConfigError) as caught:
        client_of(base_url, retry=PATIENT, clock=time.clock).list_indexes()
    assert "the environment variable ALL_PROXY is not the URL of a proxy" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert time.waits == []


def test_a_socks_proxy_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    monkeypatch.setenv("https_proxy", f"socks5h://user:{PASSWORD}@127.0.0.1:1080")
    time = Time()
    with pytest.raises(errors.ConfigError, match=r"https_proxy names a SOCKS proxy.*pip install 'requests\[socks\]'"):
        client_of(TLS_BASE, retry=PATIENT, clock=time.clock).list_indexes()
    assert time.waits == []


def test_a_malformed_variable_for_other_addresses_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://[::1:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(answering(http_answer())) as server:
        assert client_of(server.base_url).list_indexes() == []


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, None),
        ({"HTTP_PROXY": "x"}, None),
        ({"HTTPS_PROXY": "x"}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "x", "https_proxy": "y"}, "https_proxy"),
        ({"all_proxy": "x"}, "all_proxy"),
        ({"all_proxy": "x", "HTTPS_PROXY": "y"}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "x", "NO_PROXY": "vectorize.invalid"}, None),
        ({"HTTPS_PROXY": ""}, None),
    ],
)
def test_the_variable_that_counts_is_the_one_that_requests_takes(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str | None
) -> None:
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    assert proxy_variable(TLS_BASE) == name


# ---------------------------------------------------------------- trusted certificates


@pytest.mark.parametrize("source", ["verify", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("kind", ["missing", "empty", "not a certificate", "damaged"])
def test_a_bundle_that_cannot_be_used_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, kind: str
) -> None:
    path = tmp_path / "bundle.pem"
    texts = {
        "empty": "",
        "not a certificate": "hello",
        "damaged": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    }
    if kind in texts:
        path.write_text(texts[kind])
    if source != "verify":
        monkeypatch.setenv(source, str(path))
    time = Time()
    with Server(answering(http_answer()), certificate(tmp_path / "server.pem")) as server:
        options: dict[str, Any] = {"verify": str(path)} if source == "verify" else {}
        with pytest.raises(errors.ConfigError) as caught:
            client_of(server.base_url, retry=PATIENT, clock=time.clock, **options).list_indexes()
    said = str(caught.value)
    assert f"the file of trusted certificates {str(path)!r}" in said
    assert source in said
    assert time.waits == []


def test_an_untrusted_certificate_is_said_with_the_reason(tmp_path: Path) -> None:
    with (
        Server(answering(http_answer()), certificate(tmp_path / "server.pem")) as server,
        pytest.raises(errors.ConfigError, match=r"certificate is not trusted \(self-signed certificate\)"),
    ):
        client_of(server.base_url).list_indexes()


# ---------------------------------------------------------------- the first contact


def fails_at_first(base_url: str, said: str) -> None:
    time = Time()
    with pytest.raises(errors.TransientApiError, match=said) as caught:
        client_of(base_url, retry=PATIENT, clock=time.clock).list_indexes()
    assert 0 < time.now <= FIRST_CONTACT_SECONDS
    assert "Check the API base URL and network access (DNS, proxy, firewall)." in str(caught.value)


def test_a_name_that_does_not_resolve_fails_soon() -> None:
    fails_at_first("https://no-such-host.invalid/client/v4", "the host name does not resolve")


def test_a_refused_connection_fails_soon() -> None:
    fails_at_first(f"http://{closed_port()}", "connection refused")


def test_a_failure_of_tls_fails_soon() -> None:
    with Server(lambda connection: connection.recv(1_000) and connection.sendall(http_answer(400, b""))) as server:
        fails_at_first(f"https://{server.address}", r"TLS failed \(")


def test_a_server_that_does_not_answer_the_handshake_fails_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.2)
    with Server(lambda connection: connection.recv(1_000) and connection.recv(1_000)) as server:
        fails_at_first(f"https://{server.address}", "the TLS handshake was not answered within 30 s")


def test_an_answer_that_is_not_http_fails_soon() -> None:
    with Server(answering(b"220 mail.example ESMTP\r\n")) as server:
        fails_at_first(server.base_url, "the server does not speak HTTP")


def test_a_login_page_fails_soon_and_is_shown() -> None:
    page = b"<html><head><title>Guest Wi-Fi</title></head></html>"
    with Server(answering(http_answer(200, page))) as server:
        fails_at_first(server.base_url, 'an HTML page titled "Guest Wi-Fi"')


def test_another_api_fails_soon_and_is_shown() -> None:
    with Server(answering(http_answer(200, b'{"status": "ok"}'))) as server:
        fails_at_first(server.base_url, 'JSON in another format that begins "{"status": "ok"}"')


@pytest.mark.parametrize(
    "first", [http_answer(), http_answer(404, refusal(3000, "vectorize.index.not_found"))], ids=["good", "error"]
)
def test_after_a_first_answer_the_same_failures_are_retried_for_long(first: bytes) -> None:
    time = Time()
    page = http_answer(200, b"<title>Maintenance</title>")
    with Server(answering(first, page)) as server:
        client = client_of(server.base_url, retry=PATIENT, clock=time.clock)
        with contextlib.suppress(errors.IndexNotFoundError):
            client.list_indexes()
        with pytest.raises(errors.MalformedAnswerError) as caught:
            client.list_indexes()
    assert time.now > 1_000
    assert "network access" not in str(caught.value)


def test_after_a_first_answer_a_refused_connection_is_retried_for_long() -> None:
    time = Time()
    with Server(answering(http_answer(200, NOTHING, "Connection: close"))) as server:
        client = client_of(server.base_url, retry=PATIENT, clock=time.clock)
        client.list_indexes()
    with pytest.raises(errors.NoAnswerError, match="connection refused"):
        client.list_indexes()
    assert time.now > 1_000


def test_a_server_that_fails_is_retried_for_long_from_the_start() -> None:
    time = Time()
    with (
        Server(answering(http_answer(502, b"<title>Bad gateway</title>"))) as server,
        pytest.raises(errors.ServerError),
    ):
        client_of(server.base_url, retry=PATIENT, clock=time.clock).list_indexes()
    assert time.now > 1_000


# ---------------------------------------------------------------- what others send back


@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_a_server_that_sends_the_request_back_does_not_bring_the_token_into_an_error(status: int) -> None:
    def echo(connection: Any) -> None:
        connection.sendall(http_answer(status, b"<title>" + read_head(connection) + b"</title>"))

    def echo_in_envelope(connection: Any) -> None:
        text = read_head(connection).decode().replace("\r\n", " ")
        connection.sendall(http_answer(status if status > 200 else 400, refusal(7, text)))

    for handle in (echo, echo_in_envelope):
        with Server(handle) as server, pytest.raises(errors.ApiError) as caught:
            client_of(server.base_url, secret=SECRET).list_indexes()
        assert SECRET not in str(caught.value) + repr(caught.value.facts)


# ---------------------------------------------------------------- clocks


def test_a_clock_that_is_far_off_is_not_believed() -> None:
    dates = ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 1990 00:00:00 GMT", "Sun, 22 Nov 2099 10:15:30"]
    answers = [http_answer(200, ACKNOWLEDGED, f"Date: {date}") for date in dates]
    with Server(answering(*answers)) as server:
        client = client_of(server.base_url)
        for _ in dates:
            assert upsert(client).date is None
        assert client.server_time is None
