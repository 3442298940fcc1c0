"""Small servers that break the rules of HTTP and TLS, which the local Vectorize cannot do."""

from __future__ import annotations

import datetime as dt
import ipaddress
import itertools
import json
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_provider_vectorize.api.answers import Answer
from airflow_provider_vectorize.api.client import NDJSON, VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.local.handle import ACCOUNT_ID

EMPTY_RESULT = b'{"success": true, "result": [], "errors": [], "messages": []}'
ACKNOWLEDGMENT = b'{"success": true, "result": {"mutationId": "m"}, "errors": [], "messages": []}'
NO_RETRIES = RetryPolicy(total=0)
LONG_RETRY = RetryPolicy(total=1_800)


def write_certificate(path: Path) -> Path:
    """Write a self-signed certificate for 127.0.0.1 and its key to a file, and return the path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509
        .CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + signed.public_bytes(form))
    return path


def http_answer(status: int = 200, body: bytes = EMPTY_RESULT, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def error_body(code: int, message: str) -> bytes:
    errors = [{"code": code, "message": message}]
    return json.dumps({"success": False, "result": None, "errors": errors, "messages": []}).encode()


def read_headers(connection: socket.socket) -> bytes:
    """Read a request to the end of its headers, including any part of the body that was received with them."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(1_024)
        if not piece:
            break
        head += piece
    return head


class Server:
    """A server that handles each connection in its own thread.

    :param handle: Called with each connection. Its OSErrors and ValueErrors are ignored, because clients cause them.
    :param bundle: File with certificate and key. If given, the server uses TLS.
    """

    def __init__(self, handle: Callable[[Any], None], bundle: Path | None = None) -> None:
        self.connections = 0
        self._handle = handle
        self._context: ssl.SSLContext | None = None
        if bundle is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(bundle)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[Any] = []
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.base_url = f"{'https' if bundle else 'http'}://{self.address}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # The server was closed.
                return
            self.connections += 1
            # Otherwise, a small answer waits for the acknowledgment of earlier data, and close() discards it.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Any) -> None:
        try:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            with connection:
                self._handle(connection)
        except (OSError, ValueError):  # A ValueError is raised if the connection was closed at the end of the test.
            pass

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(20)
        for connection in self._open:
            connection.close()


def upsert(client: VectorizeClient, body: Any = b"{}\n") -> Answer:
    """Send one batch without first requesting the index, as the client's own method does."""
    return client.send("POST", "/vectorize/v2/indexes/books/upsert", body, content_type=NDJSON, write=True)


def client_for(base_url: str, *, secret: str = "cfut_do-not-show-this", **options: Any) -> VectorizeClient:
    credentials = Credentials(ACCOUNT_ID, secret, base_url=base_url, origin='the connection "c"')
    return VectorizeClient(credentials, **{"retry": NO_RETRIES, "timeout": 20} | options)


def answer_each_request(*answers: bytes) -> Callable[[Any], None]:
    """Return a handler that sends one answer for each request, and repeats the last one."""
    rest = itertools.chain(answers, itertools.repeat(answers[-1]))

    def handle(connection: Any) -> None:
        while read_headers(connection):
            connection.sendall(next(rest))

    return handle


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"
