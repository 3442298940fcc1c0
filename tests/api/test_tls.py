"""Trusted certificates: the setting of the connection applies, and the environment cannot override it."""

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
from tests.api.servers import EMPTY_RESULT, write_certificate


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_certificate(tmp_path / "server.pem")


@pytest.fixture
def address(bundle: Path) -> Iterator[str]:
    """Start a server with the certificate that answers one request, and return its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        try:
            with context.wrap_socket(server.accept()[0], server_side=True) as connection:
                connection.recv(65_536)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(EMPTY_RESULT), EMPTY_RESULT)
                )
        except OSError:  # The client refused the certificate.
            pass

    thread = threading.Thread(target=run)
    thread.start()
    yield f"https://127.0.0.1:{server.getsockname()[1]}"
    thread.join(20)
    server.close()


def client(address: str, verify: bool | str) -> VectorizeClient:
    credentials = Credentials(ACCOUNT_ID, "token", base_url=address, origin='the connection "c"')
    return VectorizeClient(credentials, verify=verify, retry=RetryPolicy(total=600), timeout=20)


def test_untrusted_certificate_raises_without_retry(address: str) -> None:
    with pytest.raises(ConfigError, match="certificate is not trusted") as caught:
        client(address, verify=True).list_indexes()
    assert 'the connection "c"' in str(caught.value)


def test_verify_with_own_bundle_succeeds(address: str, bundle: Path) -> None:
    assert client(address, verify=str(bundle)).list_indexes() == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_verify_false_ignores_bundle_in_environment(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(write_certificate(tmp_path / "another.pem")))
    assert client(address, verify=False).list_indexes() == []


def test_server_without_tls_raises_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}"

        def run() -> None:
            with server.accept()[0] as connection:
                connection.recv(1_000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=run)
        thread.start()
        plain_client = VectorizeClient(Credentials(ACCOUNT_ID, "token", base_url=address), retry=RetryPolicy(total=0))
        with pytest.raises(NoAnswerError, match="TLS failed"):
            plain_client.list_indexes()
        thread.join(20)
