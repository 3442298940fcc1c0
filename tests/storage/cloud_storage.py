"""A server that speaks Google Cloud Storage's JSON API, as far as objects are read and written.

It keeps to what the documentation says of content encodings: an object with ``contentEncoding: gzip`` is sent as it is
stored, in ranges, to clients that accept gzip. To others it is sent decompressed and whole, whatever the range.
Its size is that of what is stored.
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
class Stored:
    """One generation of an object."""

    content: bytes
    generation: int
    encoding: str = ""


@dataclass
class CloudStorage:
    """Objects, the requests for their content, and accidents."""

    url: str = ""
    versions: dict[str, list[Stored]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: Send objects with a content encoding decompressed, whatever the client accepts, as some proxies do.
    always_decompress: bool = False
    _generations: Iterator[int] = field(default_factory=lambda: count(1_700_000_000_000_001))

    def put(self, key: str, content: bytes, encoding: str = "") -> str:
        """Write an object."""
        generation = next(self._generations)
        self.versions.setdefault(key, []).append(Stored(content, generation, encoding))
        return f"gs://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        return self.versions[key][-1].content

    def delete(self, key: str) -> None:
        del self.versions[key]

    def reset(self) -> None:
        """An empty bucket."""
        self.versions.clear()
        self.asked.clear()
        self.refused.clear()
        self.always_decompress = False

    # ---------------------------------------------------------------- the API

    async def metadata(self, request: web.Request) -> web.Response:
        if request.query.get("alt") == "media":
            return await self.media(request)
        found = self._find(request)
        return web.json_response(self._resource(request.match_info["key"], found))

    async def media(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        self.asked.append((key, request.headers.get("Range")))
        found = self._find(request)
        body, headers, status = found.content, {"ETag": str(found.generation)}, 200
        accepts = "gzip" in request.headers.get("Accept-Encoding", "")
        if found.encoding == "gzip" and (self.always_decompress or not accepts):
            return web.Response(body=gzip.decompress(body), headers=headers)  # and any range is ignored
        if found.encoding:
            headers["Content-Encoding"] = found.encoding
        if asked := request.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            if int(first) >= len(body):
                return web.Response(status=416)
            end = min(int(last) + 1 if last else len(body), len(body))
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(body)}"
            body, status = body[int(first) : end], 206
        return web.Response(body=body, headers=headers, status=status)

    async def listing(self, request: web.Request) -> web.Response:
        if request.match_info["bucket"] != BUCKET:
            raise _problem(404, "The specified bucket does not exist.")
        prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter")
        items, prefixes = [], set()
        for key in sorted(self.versions):
            if not key.startswith(prefix):
                continue
            name, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if found:
                prefixes.add(f"{prefix}{name}{delimiter}")
            else:
                items.append(self._resource(key, self.versions[key][-1]))
        return web.json_response({"kind": "storage#objects", "items": items, "prefixes": sorted(prefixes)})

    async def upload(self, request: web.Request) -> web.Response:
        return self._uploaded(request.query["name"], await request.read())

    def _uploaded(self, name: str, content: bytes) -> web.Response:
        self.put(name, content)
        return web.json_response(self._resource(name, self.versions[name][-1]))

    def _find(self, request: web.Request) -> Stored:
        key = request.match_info["key"]
        if key in self.refused:
            raise _problem(*self.refused[key])
        found = self.versions.get(key) if request.match_info["bucket"] == BUCKET else None
        if asked := request.query.get("generation"):
            found = [one for one in found or () if str(one.generation) == asked]
        if not found:
            raise _problem(404, f"No such object: {BUCKET}/{key}")
        expected = request.query.get("ifGenerationMatch")
        if expected and expected != str(found[-1].generation):
            raise _problem(412, "At least one of the pre-conditions you specified did not hold.")
        return found[-1]

    @staticmethod
    def _resource(key: str, found: Stored) -> dict[str, Any]:
        resource = {
            "kind": "storage#object",
            "name": key,
            "bucket": BUCKET,
            "size": str(len(found.content)),
            "generation": str(found.generation),
            "updated": "2026-11-26T00:00:00Z",
            "timeCreated": "2026-11-26T00:00:00Z",
        }
        return resource | ({"contentEncoding": found.encoding} if found.encoding else {})


def _problem(status: int, message: str) -> web.HTTPException:
    error = web.HTTPException(
        text=json.dumps({"error": {"code": status, "message": message}}), content_type="application/json"
    )
    error.set_status(status)
    return error


@contextmanager
def serve() -> Iterator[CloudStorage]:
    """One that runs until the block ends."""
    storage = CloudStorage()
    application = web.Application(client_max_size=1 << 30)
    application.add_routes([
        web.get("/storage/v1/b/{bucket}/o", storage.listing),
        web.get("/storage/v1/b/{bucket}/o/{key:(?s:.+)}", storage.metadata),
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
