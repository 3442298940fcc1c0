"""One request while it is processed: its body, its fault and its mutation."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from airflow_provider_vectorize.local.engine.data_problems import NotJson
from airflow_provider_vectorize.local.engine.problems import UnknownContentType
from airflow_provider_vectorize.local.engine.records import Json, Mutation
from airflow_provider_vectorize.local.faults.recorder import RequestRecord
from airflow_provider_vectorize.local.faults.rules import Rule
from airflow_provider_vectorize.local.http import bodies, checks


class ConnectionCut(Exception):  # noqa: N818 - a fault requests it, so it is not an error
    """A fault closes the connection without a response."""


@dataclass(slots=True)
class Call:
    request: web.Request
    recorded: RequestRecord
    rule: Rule | None
    body_limit: int
    mutation: Mutation | None = None
    buffered_body: bytearray | None = None

    @property
    def account(self) -> str:
        return self.request.match_info["account"]

    @property
    def index(self) -> str:
        return self.request.match_info["index"]

    def has_fault(self, fault: str) -> bool:
        return self.rule is not None and self.rule.fault == fault

    async def buffer_body(self) -> None:
        """Read the body now, because the request is carried out after the connection is closed."""
        self.buffered_body = await bodies.read(self.request, self.body_limit + bodies.MULTIPART_EXTRA, self._on_bytes)

    async def body(self, max_bytes: int | None = None) -> bytearray:
        if self.buffered_body is not None:
            return self.buffered_body
        body = await bodies.read(self.request, max_bytes or self.body_limit, self._on_bytes)
        if self.has_fault("cut_before_apply") or self.has_fault("cut_during_body"):
            raise ConnectionCut
        return body

    def _on_bytes(self, received: int) -> None:
        self.recorded.body_bytes = received
        if self.rule is not None and self.rule.fault == "cut_during_body":
            half = (self.request.content_length or 0) // 2
            if received >= self.rule.options.get("after_bytes", half):
                raise ConnectionCut

    async def json(self, *, data_plane: bool = True) -> Json:
        if bodies.content_type(self.request) != bodies.JSON:
            raise NotJson if data_plane else UnknownContentType
        return checks.json_object(await self.body())

    async def kv_value(self) -> bytes:
        """Return the value of a write to Workers KV, from a raw or a multipart body."""
        body = await self.body()
        if bodies.content_type(self.request) == bodies.MULTIPART:
            body = bodies.multipart_part(body, self.request.headers["Content-Type"], "value")
        return bytes(body)

    async def ndjson(self) -> bytearray:
        """Return the lines of an insert or upsert, from a raw or a multipart body."""
        match bodies.content_type(self.request):
            case bodies.NDJSON:
                return await self.body()
            case bodies.MULTIPART:
                body = await self.body(self.body_limit + bodies.MULTIPART_EXTRA)
                return bodies.multipart_part(body, self.request.headers["Content-Type"], "vectors")
            case _:
                raise UnknownContentType
