"""The HTTP server of the local Vectorize without a socket: it takes request bytes and returns answer bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from typing import Any, cast

from aiohttp import web
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPHeaderDict
from urllib3 import HTTPResponse as RawResponse


class _InlineExecutor(ThreadPoolExecutor):
    """Runs the functions passed to ``asyncio.to_thread`` at once in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the future raises it again
            future.set_exception(error)
        return future


class _MemoryTransport(asyncio.Transport):
    """Collects what the server writes until it closes the connection."""

    def __init__(self, closed: asyncio.Future[None]) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = closed

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed.done()

    def close(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class InProcessServer:
    """Passes requests through a real aiohttp application, one at a time, in the caller's thread."""

    def __init__(self, app: web.Application) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_InlineExecutor(1))
        self._runner = web.AppRunner(app, access_log=None)
        self._loop.run_until_complete(self._runner.setup())

    def close(self) -> None:
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    def answer(self, request: bytes) -> bytes:
        """Return the complete answer to a complete request.

        :param request: Bytes of the request, with the header ``Connection: close``.
        """
        assert self._runner.server is not None
        transport = _MemoryTransport(self._loop.create_future())
        protocol = self._runner.server()

        async def exchange() -> None:
            protocol.connection_made(transport)
            protocol.data_received(request)
            await transport.closed
            protocol.connection_lost(None)

        self._loop.run_until_complete(exchange())
        return bytes(transport.written)


def request_bytes(request: PreparedRequest, host: str) -> bytes:
    """Return the bytes of a request as sent over the network. A streamed body is consumed."""
    body = request.body or b""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = b"".join(bytes(block) for block in cast("Any", body))
    headers = {**request.headers, "Host": host, "Connection": "close", "Content-Length": str(len(body))}
    lines = [f"{request.method} {request.path_url} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def parse_answer(answer: bytes) -> tuple[int, HTTPHeaderDict, bytes]:
    """Return status, headers and body of an answer, which always has a ``Content-Length`` header."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = HTTPHeaderDict(line.split(": ", 1) for line in lines)
    assert len(body) == int(headers["Content-Length"])
    return int(status_line.split()[1]), headers, body


def response_of(request: PreparedRequest, status: int, headers: HTTPHeaderDict, body: bytes) -> Response:
    """Return the response object that ``requests`` creates for an answer."""
    raw = RawResponse(BytesIO(body), headers, status, preload_content=False)
    return HTTPAdapter().build_response(request, raw)


class CallbackAdapter(BaseAdapter):
    """Sends the requests of a session to a function instead of the network."""

    def __init__(self, exchange: Callable[[PreparedRequest, float], Response]) -> None:
        super().__init__()
        self._exchange = exchange

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        read = timeout[1] if isinstance(timeout, tuple) else timeout
        return self._exchange(request, 60.0 if read is None else float(read))

    def close(self) -> None:
        pass
