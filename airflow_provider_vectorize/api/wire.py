"""HTTP connections that find an early answer, limit the time for an answer, and can be stopped.

``requests`` and ``urllib3`` lack three features. Over TLS, they do not look for an answer after sending has failed, so
that a server that refuses a body early seems to have cut the connection. They limit the time between two bytes of an
answer, but not the time for the whole answer. A read cannot be interrupted.
"""

from __future__ import annotations

import errno
import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from airflow_provider_vectorize.api.pacing import StoppedError

#: Timeout for establishing a connection, in seconds.
CONNECT_SECONDS = 30.0
#: Maximum size of a piece that is passed to a socket at once. :attr:`WireLimits.stall` applies to each piece.
PIECE_BYTES = 1 << 20
#: Seconds between two checks whether a read has been stopped.
CHECK_SECONDS = 0.25
#: Seconds to wait for the answer of a server that has stopped reading the body.
EARLY_ANSWER_SECONDS = 1.0


class HandshakeTimeoutError(TimeoutError):
    """The server accepted the connection but did not answer the TLS handshake."""


class StalledUploadError(TimeoutError):
    """The server stopped reading the body."""


class SlowAnswerError(TimeoutError):
    """The answer was not complete in time."""


@dataclass(frozen=True)
class WireLimits:
    """Time limits of a request, and the event that stops it.

    :param stall: Seconds within which the server must accept 1 MB of the body, or send another byte of its answer.
    :param stopped: If set, requests that only read fail with :class:`StoppedError`. Writes continue until their
        answer, because otherwise it would be unknown whether they were carried out.
    """

    stall: float
    stopped: threading.Event

    @property
    def total(self) -> float:
        """Maximum seconds from the end of a request to the end of its answer."""
        return 2 * self.stall


class WireAdapter(HTTPAdapter):
    """Creates connections, including those through proxies, that apply the limits."""

    def __init__(self, limits: WireLimits, **options: Any) -> None:
        self._limits = limits
        super().__init__(**options)

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> HTTPConnectionPool:
        pool = cast("HTTPConnectionPool", super().get_connection_with_tls_context(*args, **options))
        connection_class = pool.ConnectionCls
        if not issubclass(connection_class, _WireConnection):
            bases = (_WireConnection, connection_class)
            pool.ConnectionCls = type(f"Wire{connection_class.__name__}", bases, {"limits": self._limits})
        return pool


def only_reads(method: str, url: str) -> bool:
    """Check whether a request only reads data."""
    return method == "GET" or (method == "POST" and urlsplit(url).path.endswith(("/query", "/get_by_ids")))


class _WireConnection(HTTPConnection):
    """Mixin for the connection classes of ``urllib3``."""

    limits: WireLimits
    _sending = False  # False while a tunnel through a proxy is set up, which also calls send().
    _may_stop = False
    _send_error: OSError | None = None

    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError as error:  # If no connection is made at all, urllib3 raises an error of its own.
            raise HandshakeTimeoutError("timed out") from error

    def request(self, method: str, url: str, *args: Any, **options: Any) -> None:
        if self.sock is None:
            self.connect()
        self._send_error, self._may_stop, self._sending = None, only_reads(method, url), True
        self.timeout = self.limits.stall  # Otherwise, urllib3 applies the connect timeout to sending.
        try:
            super().request(method, url, *args, **options)
        finally:
            self._sending = False

    def send(self, data: Any) -> None:
        if not self._sending:
            super().send(data)
            return
        try:
            for piece in _pieces(data):
                super().send(piece)
        except OSError as error:  # This includes errors of TLS.
            self._send_error = error
            # After a BrokenPipeError urllib3 reads the answer, but not after an error of TLS.
            raise BrokenPipeError(errno.EPIPE, "Broken pipe") from error

    def getresponse(self) -> Any:
        response = super().getresponse()
        if self._send_error is not None and self.sock is not None:
            # Part of the body was never sent, so no other request may use the connection. The response keeps it open.
            sock, self.sock = self.sock, cast("Any", None)
            sock.close()
        return response

    def response_class(self, sock: Any, *args: Any, **options: Any) -> http.client.HTTPResponse:  # type: ignore[override]
        """Return the object that reads the answer. Called by ``http.client``."""
        response = http.client.HTTPResponse(sock, *args, **options)
        raw = response.fp.detach()  # A SocketIO, which a BufferedReader wraps.
        stalled = isinstance(self._send_error, TimeoutError)
        response.fp = io.BufferedReader(_LimitedReads(raw, sock, self.limits, self._may_stop, stalled))
        return response


class _LimitedReads(io.RawIOBase):
    """Reads an answer from a socket and applies the limits."""

    def __init__(self, raw: Any, sock: socket.socket, limits: WireLimits, may_stop: bool, stalled: bool) -> None:
        self._raw = raw
        self._sock = sock
        self._limits = limits
        self._may_stop = may_stop
        self._stalled = stalled
        self._deadline = time.monotonic() + limits.total

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        stall_deadline = time.monotonic() + (EARLY_ANSWER_SECONDS if self._stalled else self._limits.stall)
        while True:
            if self._may_stop and self._limits.stopped.is_set():
                raise StoppedError
            now = time.monotonic()
            if now >= min(self._deadline, stall_deadline):
                raise self._timeout(now)
            self._sock.settimeout(min(CHECK_SECONDS, self._deadline - now, stall_deadline - now))
            try:
                return self._sock.recv_into(buffer)
            except TimeoutError:
                continue
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
                raise ConnectionResetError(errno.ECONNRESET, "the connection was cut") from error

    def _timeout(self, now: float) -> TimeoutError:
        if self._stalled:
            return StalledUploadError("timed out")
        return SlowAnswerError("timed out") if now >= self._deadline else TimeoutError("timed out")

    def close(self) -> None:
        self._raw.close()
        super().close()


def _pieces(data: Any) -> Iterator[Any]:
    if not isinstance(data, (bytes, bytearray, memoryview)) or len(data) <= PIECE_BYTES:
        yield data
        return
    view = memoryview(data)
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]
