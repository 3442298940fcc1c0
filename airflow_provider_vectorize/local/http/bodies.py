"""Request bodies: raw or multipart, limited in size, with 100-continue only for bodies that are accepted."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import parse_content_disposition, web
from aiohttp.helpers import parse_mimetype

from airflow_provider_vectorize.local.engine.problems import BodyTooLarge, UnknownContentType

NDJSON = "application/x-ndjson"
MULTIPART = "multipart/form-data"
JSON = "application/json"
# Boundaries and headers of a multipart body do not count toward the limit of its vectors.
MULTIPART_EXTRA = 64 * 1024


def content_type(request: web.Request) -> str:
    """Return the content type without parameters: wrangler sends ``application/json; charset=utf-8;``."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def read(request: web.Request, max_bytes: int, on_bytes: Callable[[int], None]) -> bytearray:
    """Read the complete body.

    :param on_bytes: Called with the number of bytes received so far. It may raise to stop reading.
    :raises BodyTooLarge: The body is larger than ``max_bytes``.
    """
    if (request.content_length or 0) > max_bytes:
        raise BodyTooLarge
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge
        on_bytes(len(body))
    return body


async def defer_100_continue(request: web.Request) -> None:
    """Replace aiohttp's 100-continue. :func:`read` sends it, so that a body that will be refused is not requested."""


def multipart_part(body: bytearray, header: str, part: str) -> bytearray:
    """Return the content of one part of a multipart body. Its type and its file name are optional."""
    boundary = parse_mimetype(header).parameters.get("boundary", "").strip('"')
    if not boundary:
        raise UnknownContentType
    delimiter = b"--" + boundary.encode()
    position = body.find(delimiter)
    while position >= 0:
        start = position + len(delimiter)
        if body[start : start + 2] == b"--":
            break
        head_end = body.find(b"\r\n\r\n", start)
        end = body.find(b"\r\n" + delimiter, start)
        if head_end < 0 or end < 0:
            break
        if _part_name(bytes(body[start:head_end])) == part:
            return body[min(head_end + 4, end) : end]
        position = end + 2
    raise UnknownContentType


def _part_name(head: bytes) -> str | None:
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            return parse_content_disposition(value.strip())[1].get("name")
    return None
