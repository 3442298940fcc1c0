"""HTTP connections that find an early answer, limit the time for an answer, and can be stopped.

``requests`` and ``urllib3`` leave three gaps. Over TLS they do not look for an answer once sending fails, so that a
server that refuses a body early seems to have cut the connection. They limit the time between two bytes of an answer,
not the time for all of it. And nothing interrupts a read.
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

#: Seconds in which a connection has to be made.
CONNECT_SECONDS = 30.0
#: The largest piece that is handed to a socket at once: each piece has the whole of :attr:`WireLimits.stall`.
PIECE_BYTES = 1 << 20
#: Seconds between two checks whether a read was stopped.
CHECK_SECONDS = 0.25
#: Seconds to wait for the answer of a server that has stopped reading the body.
EARLY_ANSWER_SECONDS = 1.0


class HandshakeTimeoutError(TimeoutError):
    """The server accepted the connection and did not answer the TLS handshake."""


class StalledUploadError(TimeoutError):
    """The server stopped reading the body."""


class SlowAnswerError(TimeoutError):
    """The answer began, and did not end in time."""


@dataclass(frozen=True)
class WireLimits:
    """Time limits of a request, and what ends it early.

    :param stall: Seconds in which the server has to take 1 MB of the body, or send another byte of its answer.
    :param stopped: When set, requests that only read end with :class:`StoppedError`. Writes continue to their
        answer, because otherwise it would be unknown whether they were carried out.
    """

    stall: float
    stopped: threading.Event

    @property
    def total(self) -> float:
        """Seconds from the end of a request to the end of its answer."""
        return 2 * self.stall


class WireAdapter(HTTPAdapter):
    """Makes connections, also through proxies, that keep the limits."""

    def __init__(self, limits: WireLimits, **options: Any) -> None:
        self._limits = limits
        super().__init__(**options)

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> HTTPConnectionPool:
        pool = cast("HTTPConnectionPool", super().get_connection_with_tls_context(*args, **options))
        kind = pool.ConnectionCls
        if not issubclass(kind, _WireConnection):
            members = {"limits": self._limits}
            pool.ConnectionCls = type(f"Wire{kind.__name__}", (_WireConnection, kind), members)
        return pool


def only_reads(method: str, url: str) -> bool:
    """Check whether a request changes nothing."""
    return method == "GET" or (method == "POST" and urlsplit(url).path.endswith(("/query", "/get_by_ids")))


class _WireConnection(HTTPConnection):
    """Mixed into each class of connection that ``urllib3`` uses."""

    limits: WireLimits
    _sending = False  # a tunnel through a proxy also sends, before the request
    _may_stop = False
    _send_error: OSError | None = None

    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError as error:  # urllib3 has an error of its own where no connection is made
            raise HandshakeTimeoutError("timed out") from error

    def request(self, method: str, url: str, *args: Any, **options: Any) -> None:
        if self.sock is None:
            self.connect()
        self._send_error, self._may_stop, self._sending = None, only_reads(method, url), True
        self.timeout = self.limits.stall  # urllib3 would send within the time for connecting
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
        except OSError as error:  # those of TLS included
            self._send_error = error
            # urllib3 reads the answer after this one, and after no error of TLS.
            raise BrokenPipeError(errno.EPIPE, "Broken pipe") from error

    def getresponse(self) -> Any:
        response = super().getresponse()
        if self._send_error is not None and self.sock is not None:
            # Part of the body was never sent, so no other request may use the connection. The answer keeps it open.
            sock, self.sock = self.sock, cast("Any", None)
            sock.close()
        return response

    def response_class(self, sock: Any, *args: Any, **options: Any) -> http.client.HTTPResponse:  # type: ignore[override]
        """Called by ``http.client`` to make the object that reads the answer."""
        response = http.client.HTTPResponse(sock, *args, **options)
        raw = response.fp.detach()  # a BufferedReader around a SocketIO
        stalled = isinstance(self._send_error, TimeoutError)
        response.fp = io.BufferedReader(_LimitedReads(raw, sock, self.limits, self._may_stop, stalled))
        return response


class _LimitedReads(io.RawIOBase):
    """Reads an answer from a socket within the limits."""

    def __init__(self, raw: Any, sock: socket.socket, limits: WireLimits, may_stop: bool, stalled: bool) -> None:
        self._raw = raw
        self._sock = sock
        self._limits = limits
        self._may_stop = may_stop
        self._stalled = stalled
        self._end = time.monotonic() + limits.total

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        stall_end = time.monotonic() + (EARLY_ANSWER_SECONDS if self._stalled else self._limits.stall)
        while True:
            if self._may_stop and self._limits.stopped.is_set():
                raise StoppedError
            now = time.monotonic()
            if now >= min(self._end, stall_end):
                raise self._timeout(now)
            self._sock.settimeout(min(CHECK_SECONDS, self._end - now, stall_end - now))
            try:
                return self._sock.recv_into(buffer)
            except TimeoutError:
                continue
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
                raise ConnectionResetError(errno.ECONNRESET, "the connection was cut") from error

    def _timeout(self, now: float) -> TimeoutError:
        if self._stalled:
            return StalledUploadError("timed out")
        return SlowAnswerError("timed out") if now >= self._end else TimeoutError("timed out")

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
