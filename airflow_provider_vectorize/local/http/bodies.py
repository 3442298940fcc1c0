"""Reading request bodies: raw or multipart, never more than allowed, and 100-continue only when a body is wanted."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import parse_content_disposition, web
from aiohttp.helpers import parse_mimetype

from airflow_provider_vectorize.local.engine.problems import BodyTooLarge, UnknownContentType

NDJSON = "application/x-ndjson"
MULTIPART = "multipart/form-data"
JSON = "application/json"
# What multipart adds around the vectors does not count against them.
MULTIPART_EXTRA = 64 * 1024


def content_type(request: web.Request) -> str:
    """Without parameters: wrangler sends ``application/json; charset=utf-8;``."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def read(request: web.Request, most: int, on_bytes: Callable[[int], None]) -> bytearray:
    """The whole body. ``on_bytes`` hears how much has come so far, and may raise."""
    if (request.content_length or 0) > most:
        raise BodyTooLarge
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise BodyTooLarge
        on_bytes(len(body))
    return body


async def answer_expect_later(request: web.Request) -> None:
    """Replaces aiohttp's own 100-continue: :func:`read` sends it, so that a refused body is never asked for."""


def vectors_part(body: bytearray, header: str) -> bytearray:
    """The content of the part named ``vectors``, which may lack a type and a file name."""
    boundary = parse_mimetype(header).parameters.get("boundary", "").strip('"')
    if not boundary:
        raise UnknownContentType
    delimiter = b"--" + boundary.encode()
    at = body.find(delimiter)
    while at >= 0:
        start = at + len(delimiter)
        if body[start : start + 2] == b"--":
            break
        head_end = body.find(b"\r\n\r\n", start)
        end = body.find(b"\r\n" + delimiter, start)
        if head_end < 0 or end < 0:
            break
        if _part_name(bytes(body[start:head_end])) == "vectors":
            return body[min(head_end + 4, end) : end]
        at = end + 2
    raise UnknownContentType


def _part_name(head: bytes) -> str | None:
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            return parse_content_disposition(value.strip())[1].get("name")
    return None
