"""Messages and retries of requests that are sent through a proxy."""

from __future__ import annotations

import sys

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api.retry import FIRST_CONTACT_SECONDS
from airflow_provider_vectorize.api.wire_errors import proxy_variable
from tests.api.conftest import FakeTime
from tests.api.servers import (
    LONG_RETRY,
    Server,
    answer_each_request,
    client_for,
    closed_port,
    http_answer,
)

PASSWORD = "pr0xy-pa55word"
pytestmark = pytest.mark.usefixtures("clean_environment")
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
