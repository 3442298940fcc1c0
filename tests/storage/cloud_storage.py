"""A server with the part of Google Cloud Storage's JSON API that reads and writes objects.

It handles content encodings as Google documents them: a client that accepts gzip gets an object with
``contentEncoding: gzip`` as it is stored, and in ranges. Other clients get it decompressed and complete, and the range
is ignored. The reported size is that of the stored bytes.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp import web

BUCKET = "vectors"


@dataclass
class Generation:
    """One generation of an object."""

    content: bytes
    generation: int
    encoding: str = ""


@dataclass
class CloudStorage:
    """The objects of one bucket, the recorded requests for their content, and faults to inject.

    :param versions: Generations of each object, by key, the latest one last.
    :param media_requests: Key and ``Range`` header of each request for content.
    :param error_responses: Status and message for each key whose requests fail.
    :param always_decompress: Send objects with a content encoding decompressed even to clients that accept gzip, as
        some proxies do.
    """

    url: str = ""
    versions: dict[str, list[Generation]] = field(default_factory=dict)
    media_requests: list[tuple[str, str | None]] = field(default_factory=list)
    error_responses: dict[str, tuple[int, str]] = field(default_factory=dict)
    always_decompress: bool = False
    _generations: Iterator[int] = field(default_factory=lambda: count(1_700_000_000_000_001))

    def put(self, key: str, content: bytes, encoding: str = "") -> str:
        """Write an object and return its URI."""
        generation = next(self._generations)
        self.versions.setdefault(key, []).append(Generation(content, generation, encoding))
        return f"gs://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        return self.versions[key][-1].content

    def delete(self, key: str) -> None:
        del self.versions[key]

    def reset(self) -> None:
        """Empty the bucket and remove all faults."""
        self.versions.clear()
        self.media_requests.clear()
        self.error_responses.clear()
        self.always_decompress = False

    async def metadata(self, request: web.Request) -> web.Response:
        if request.query.get("alt") == "media":
            return await self.media(request)
        stored = self._find(request)
        return web.json_response(self._resource(request.match_info["key"], stored))

    async def media(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        self.media_requests.append((key, request.headers.get("Range")))
        stored = self._find(request)
        body, headers, status = stored.content, {"ETag": str(stored.generation)}, 200
        accepts = "gzip" in request.headers.get("Accept-Encoding", "")
        if stored.encoding == "gzip" and (self.always_decompress or not accepts):
            return web.Response(body=gzip.decompress(body), headers=headers)  # The range is ignored.
        if stored.encoding:
            headers["Content-Encoding"] = stored.encoding
        if range_header := request.headers.get("Range"):
            first, _, last = range_header.removeprefix("bytes=").partition("-")
            if int(first) >= len(body):
                return web.Response(status=416)
            end = min(int(last) + 1 if last else len(body), len(body))
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(body)}"
            body, status = body[int(first) : end], 206
        return web.Response(body=body, headers=headers, status=status)

    async def listing(self, request: web.Request) -> web.Response:
        if request.match_info["bucket"] != BUCKET:
            raise _error_response(404, "The specified bucket does not exist.")
        prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter")
        items, prefixes = [], set()
        for key in sorted(self.versions):
            if not key.startswith(prefix):
                continue
            name, separator, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if separator:
                prefixes.add(f"{prefix}{name}{delimiter}")
            else:
                items.append(self._resource(key, self.versions[key][-1]))
        return web.json_response({"kind": "storage#objects", "items": items, "prefixes": sorted(prefixes)})

    async def remove(self, request: web.Request) -> web.Response:
        self._find(request)
        self.delete(request.match_info["key"])
        return web.Response(status=204)

    async def upload(self, request: web.Request) -> web.Response:
        return self._uploaded(request.query["name"], await request.read())

    def _uploaded(self, name: str, content: bytes) -> web.Response:
        self.put(name, content)
        return web.json_response(self._resource(name, self.versions[name][-1]))

    def _find(self, request: web.Request) -> Generation:
        key = request.match_info["key"]
        if key in self.error_responses:
            raise _error_response(*self.error_responses[key])
        generations = self.versions.get(key) if request.match_info["bucket"] == BUCKET else None
        if number := request.query.get("generation"):
            generations = [generation for generation in generations or () if str(generation.generation) == number]
        if not generations:
            raise _error_response(404, f"No such object: {BUCKET}/{key}")
        expected = request.query.get("ifGenerationMatch")
        if expected and expected != str(generations[-1].generation):
            raise _error_response(412, "At least one of the pre-conditions you specified did not hold.")
        return generations[-1]

    @staticmethod
    def _resource(key: str, stored: Generation) -> dict[str, Any]:
        resource = {
            "kind": "storage#object",
            "name": key,
            "bucket": BUCKET,
            "size": str(len(stored.content)),
            "generation": str(stored.generation),
            "updated": "2026-11-26T00:00:00Z",
            "timeCreated": "2026-11-26T00:00:00Z",
        }
        return resource | ({"contentEncoding": stored.encoding} if stored.encoding else {})


def _error_response(status: int, message: str) -> web.HTTPException:
    error = web.HTTPException(
        text=json.dumps({"error": {"code": status, "message": message}}), content_type="application/json"
    )
    error.set_status(status)
    return error


@contextmanager
def serve() -> Iterator[CloudStorage]:
    """Run the server until the block ends."""
    storage = CloudStorage()
    application = web.Application(client_max_size=1 << 30)
    application.add_routes([
        web.get("/storage/v1/b/{bucket}/o", storage.listing),
        web.get("/storage/v1/b/{bucket}/o/{key:(?s:.+)}", storage.metadata),
        web.delete("/storage/v1/b/{bucket}/o/{key:(?s:.+)}", storage.remove),
        web.get("/download/storage/v1/b/{bucket}/o/{key:(?s:.+)}", storage.media),
        web.post("/upload/storage/v1/b/{bucket}/o", storage.upload),
    ])
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(application, access_log=None)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    storage.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    thread = threading.Thread(target=loop.run_forever, name="cloud-storage", daemon=True)
    thread.start()
    try:
        yield storage
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
