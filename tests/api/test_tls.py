"""Whose certificate is trusted: what the connection says, and nothing in the environment instead."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ConfigError, NoAnswerError
from airflow_provider_vectorize.local.handle import ACCOUNT_ID
from tests.api.servers import NOTHING, certificate


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return certificate(tmp_path / "server.pem")


@pytest.fixture
def address(bundle: Path) -> Iterator[str]:
    """A server with that certificate that answers one request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        try:
            with context.wrap_socket(server.accept()[0], server_side=True) as connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(NOTHING), NOTHING))
        except OSError:  # the client did not like the certificate
            pass

    thread = threading.Thread(target=run)
    thread.start()
    yield f"https://127.0.0.1:{server.getsockname()[1]}"
    thread.join(20)
    server.close()


def client(address: str, verify: bool | str) -> VectorizeClient:
    credentials = Credentials(ACCOUNT_ID, "token", base_url=address, origin='the connection "c"')
    return VectorizeClient(credentials, verify=verify, retry=RetryPolicy(total=600), timeout=20)


def test_a_certificate_that_is_not_trusted_is_said_at_once_and_not_tried_again(address: str) -> None:
    with pytest.raises(ConfigError, match="certificate is not trusted") as caught:
        client(address, verify=True).list_indexes()
    assert 'the connection "c"' in str(caught.value)


def test_a_bundle_of_ones_own_is_taken(address: str, bundle: Path) -> None:
    assert client(address, verify=str(bundle)).list_indexes() == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_no_check_means_no_check_whatever_the_environment_says(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate(tmp_path / "another.pem")))
    assert client(address, verify=False).list_indexes() == []


def test_a_server_without_tls_is_no_answer_and_not_called_untrusted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}"

        def run() -> None:
            with server.accept()[0] as connection:
                connection.recv(1_000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=run)
        thread.start()
        made = VectorizeClient(Credentials(ACCOUNT_ID, "token", base_url=address), retry=RetryPolicy(total=0))
        with pytest.raises(NoAnswerError, match="TLS failed"):
            made.list_indexes()
        thread.join(20)
