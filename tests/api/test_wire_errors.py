"""Messages and retries of requests that get no answer."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api import transport
from airflow_provider_vectorize.api.retry import FIRST_CONTACT_SECONDS
from tests.api.conftest import FakeTime
from tests.api.servers import (
    ACKNOWLEDGMENT,
    EMPTY_RESULT,
    LONG_RETRY,
    Server,
    answer_each_request,
    client_for,
    closed_port,
    error_body,
    http_answer,
    read_headers,
    upsert,
    write_certificate,
)

SECRET = "cfut_do-not-show-this"
pytestmark = pytest.mark.usefixtures("clean_environment")


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
