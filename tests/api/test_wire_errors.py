"""Messages and retries of requests that get no answer."""

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
from tests.api.conftest import FakeTime
from tests.api.servers import (
    ACKNOWLEDGMENT,
    EMPTY_RESULT,
    Server,
    client_for,
    error_body,
    http_answer,
    read_headers,
    upsert,
    write_certificate,
)

SECRET = "cfut_do-not-show-this"
PASSWORD = "pr0xy-pa55word"
LONG_RETRY = RetryPolicy(total=1_800)
PROXY_VARIABLES = [f"{kind}_proxy" for kind in ("http", "https", "all", "no")]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def answer_each_request(*answers: bytes) -> Callable[[Any], None]:
    """Return a handler that sends one answer for each request, and repeats the last one."""
    rest = itertools.chain(answers, itertools.repeat(answers[-1]))

    def handle(connection: Any) -> None:
        while read_headers(connection):
            connection.sendall(next(rest))

    return handle


# ---------------------------------------------------------------- proxies

TLS_BASE = "https://vectorize.invalid/client/v4"
PLAIN_BASE = "http://vectorize.invalid/client/v4"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "HTTPS_PROXY requires credentials (407)"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTPS_PROXY refused the connection (403 Forbidden)"),
    ],
)
def test_proxy_refusing_tunnel_raises_without_retry(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, message: str
) -> None:
    fake_time = FakeTime()
    with Server(answer_each_request(answer)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@{proxy.address}")
        with pytest.raises(errors.TerminalApiError) as caught:
            client_for(TLS_BASE, retry=LONG_RETRY, clock=fake_time.clock).list_indexes()
    assert message in str(caught.value)
    assert PASSWORD not in repr(caught.value)
    assert caught.value.status in (407, 403)
    assert fake_time.waits == []


def test_proxy_407_for_plain_http_asks_for_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(answer_each_request(http_answer(407, b"<title>Squid</title>"))) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:{PASSWORD}@{proxy.address}")
        with pytest.raises(errors.TerminalApiError, match="The proxy requires credentials"):
            client_for(PLAIN_BASE).list_indexes()


def test_proxy_failure_before_first_answer_is_retried_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_time = FakeTime()
    with Server(answer_each_request(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://{proxy.address}")
        with pytest.raises(errors.NoAnswerError, match="the environment variable ALL_PROXY could not be used"):
            client_for(TLS_BASE, retry=LONG_RETRY, clock=fake_time.clock).list_indexes()
    assert 0 < fake_time.now <= FIRST_CONTACT_SECONDS


def test_proxy_unreachable_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@{closed_port()}")
    with pytest.raises(errors.NoAnswerError, match="HTTPS_PROXY could not be used: connection refused") as caught:
        client_for(TLS_BASE).list_indexes()
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
def test_proxy_malformed_variable_is_named_without_value(
    monkeypatch: pytest.MonkeyPatch, base_url: str, value: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    fake_time = FakeTime()
    with pytest.raises(errors.ConfigError) as caught:
        client_for(base_url, retry=LONG_RETRY, clock=fake_time.clock).list_indexes()
    assert "the environment variable ALL_PROXY is not the URL of a proxy" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert fake_time.waits == []


def test_proxy_socks_without_package_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    monkeypatch.setenv("https_proxy", f"socks5h://user:{PASSWORD}@127.0.0.1:1080")
    fake_time = FakeTime()
    with pytest.raises(errors.ConfigError, match=r"https_proxy names a SOCKS proxy.*pip install 'requests\[socks\]'"):
        client_for(TLS_BASE, retry=LONG_RETRY, clock=fake_time.clock).list_indexes()
    assert fake_time.waits == []


def test_proxy_malformed_variable_for_other_hosts_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://[::1:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(answer_each_request(http_answer())) as server:
        assert client_for(server.base_url).list_indexes() == []


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
def test_proxy_variable_matches_choice_of_requests(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str | None
) -> None:
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    assert proxy_variable(TLS_BASE) == name


# ---------------------------------------------------------------- trusted certificates


@pytest.mark.parametrize("source", ["verify", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("kind", ["missing", "empty", "not a certificate", "damaged"])
def test_unusable_bundle_raises_without_retry(
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
    fake_time = FakeTime()
    with Server(answer_each_request(http_answer()), write_certificate(tmp_path / "server.pem")) as server:
        options: dict[str, Any] = {"verify": str(path)} if source == "verify" else {}
        with pytest.raises(errors.ConfigError) as caught:
            client_for(server.base_url, retry=LONG_RETRY, clock=fake_time.clock, **options).list_indexes()
    message = str(caught.value)
    assert f"the file of trusted certificates {str(path)!r}" in message
    assert source in message
    assert fake_time.waits == []


def test_untrusted_certificate_names_the_reason(tmp_path: Path) -> None:
    with (
        Server(answer_each_request(http_answer()), write_certificate(tmp_path / "server.pem")) as server,
        pytest.raises(errors.ConfigError, match=r"certificate is not trusted \(self-signed certificate\)"),
    ):
        client_for(server.base_url).list_indexes()


# ---------------------------------------------------------------- first contact


def check_first_contact_failure(base_url: str, message: str) -> None:
    fake_time = FakeTime()
    with pytest.raises(errors.TransientApiError, match=message) as caught:
        client_for(base_url, retry=LONG_RETRY, clock=fake_time.clock).list_indexes()
    assert 0 < fake_time.now <= FIRST_CONTACT_SECONDS
    assert "Check the API base URL and network access (DNS, proxy, firewall)." in str(caught.value)


def test_first_contact_unknown_host_fails_after_a_minute() -> None:
    check_first_contact_failure("https://no-such-host.invalid/client/v4", "the host name does not resolve")


def test_first_contact_refused_connection_fails_after_a_minute() -> None:
    check_first_contact_failure(f"http://{closed_port()}", "connection refused")


def test_first_contact_tls_failure_fails_after_a_minute() -> None:
    with Server(lambda connection: connection.recv(1_000) and connection.sendall(http_answer(400, b""))) as server:
        check_first_contact_failure(f"https://{server.address}", r"TLS failed \(")


def test_first_contact_handshake_timeout_fails_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.2)
    with Server(lambda connection: connection.recv(1_000) and connection.recv(1_000)) as server:
        check_first_contact_failure(f"https://{server.address}", "the TLS handshake was not answered within 30 s")


def test_first_contact_non_http_answer_fails_after_a_minute() -> None:
    with Server(answer_each_request(b"220 mail.example ESMTP\r\n")) as server:
        check_first_contact_failure(server.base_url, "the server does not speak HTTP")


def test_first_contact_login_page_fails_after_a_minute() -> None:
    page = b"<html><head><title>Guest Wi-Fi</title></head></html>"
    with Server(answer_each_request(http_answer(200, page))) as server:
        check_first_contact_failure(server.base_url, 'an HTML page titled "Guest Wi-Fi"')


def test_first_contact_other_api_fails_after_a_minute() -> None:
    with Server(answer_each_request(http_answer(200, b'{"status": "ok"}'))) as server:
        check_first_contact_failure(server.base_url, 'JSON in another format that begins "{"status": "ok"}"')


@pytest.mark.parametrize(
    "first", [http_answer(), http_answer(404, error_body(3000, "vectorize.index.not_found"))], ids=["good", "error"]
)
def test_later_malformed_answer_is_retried_until_total(first: bytes) -> None:
    fake_time = FakeTime()
    page = http_answer(200, b"<title>Maintenance</title>")
    with Server(answer_each_request(first, page)) as server:
        client = client_for(server.base_url, retry=LONG_RETRY, clock=fake_time.clock)
        with contextlib.suppress(errors.IndexNotFoundError):
            client.list_indexes()
        with pytest.raises(errors.MalformedAnswerError) as caught:
            client.list_indexes()
    assert fake_time.now > 1_000
    assert "network access" not in str(caught.value)


def test_later_refused_connection_is_retried_until_total() -> None:
    fake_time = FakeTime()
    with Server(answer_each_request(http_answer(200, EMPTY_RESULT, "Connection: close"))) as server:
        client = client_for(server.base_url, retry=LONG_RETRY, clock=fake_time.clock)
        client.list_indexes()
    with pytest.raises(errors.NoAnswerError, match="connection refused"):
        client.list_indexes()
    assert fake_time.now > 1_000


def test_first_contact_5xx_is_retried_until_total() -> None:
    fake_time = FakeTime()
    with (
        Server(answer_each_request(http_answer(502, b"<title>Bad gateway</title>"))) as server,
        pytest.raises(errors.ServerError),
    ):
        client_for(server.base_url, retry=LONG_RETRY, clock=fake_time.clock).list_indexes()
    assert fake_time.now > 1_000


# ---------------------------------------------------------------- echoed requests


@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_echoed_request_does_not_reveal_the_token(status: int) -> None:
    def echo(connection: Any) -> None:
        connection.sendall(http_answer(status, b"<title>" + read_headers(connection) + b"</title>"))

    def echo_in_envelope(connection: Any) -> None:
        text = read_headers(connection).decode().replace("\r\n", " ")
        connection.sendall(http_answer(status if status > 200 else 400, error_body(7, text)))

    for handle in (echo, echo_in_envelope):
        with Server(handle) as server, pytest.raises(errors.ApiError) as caught:
            client_for(server.base_url, secret=SECRET).list_indexes()
        assert SECRET not in str(caught.value) + repr(caught.value.facts)


# ---------------------------------------------------------------- clocks


def test_server_time_far_from_local_clock_is_ignored() -> None:
    dates = ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 1990 00:00:00 GMT", "Sun, 22 Nov 2099 10:15:30"]
    answers = [http_answer(200, ACKNOWLEDGMENT, f"Date: {date}") for date in dates]
    with Server(answer_each_request(*answers)) as server:
        client = client_for(server.base_url)
        for _ in dates:
            assert upsert(client).date is None
        assert client.server_time is None
