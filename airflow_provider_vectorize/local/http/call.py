"""One request on its way through the rooms."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from airflow_provider_vectorize.local.engine.data_problems import NotJson
from airflow_provider_vectorize.local.engine.problems import UnknownContentType
from airflow_provider_vectorize.local.engine.records import Json, Mutation
from airflow_provider_vectorize.local.faults.recorder import Recorded
from airflow_provider_vectorize.local.faults.rules import Rule
from airflow_provider_vectorize.local.http import bodies, checks


class Cut(Exception):  # noqa: N818 - it is what is wanted, not an error
    """The connection ends here, without an answer."""


@dataclass(slots=True)
class Call:
    request: web.Request
    recorded: Recorded
    rule: Rule | None
    body_limit: int
    mutation: Mutation | None = None
    kept: bytearray | None = None

    @property
    def account(self) -> str:
        return self.request.match_info["account"]

    @property
    def index(self) -> str:
        return self.request.match_info["index"]

    def meets(self, fault: str) -> bool:
        return self.rule is not None and self.rule.fault == fault

    async def keep_body(self) -> None:
        """Read the body now, for when the connection is gone."""
        self.kept = await bodies.read(self.request, self.body_limit + bodies.MULTIPART_EXTRA, self._on_bytes)

    async def body(self, most: int | None = None) -> bytearray:
        if self.kept is not None:
            return self.kept
        body = await bodies.read(self.request, most or self.body_limit, self._on_bytes)
        if self.meets("cut_before_apply") or self.meets("cut_during_body"):
            raise Cut
        return body

    def _on_bytes(self, so_far: int) -> None:
        self.recorded.body_bytes = so_far
        if self.rule is not None and self.rule.fault == "cut_during_body":
            half = (self.request.content_length or 0) // 2
            if so_far >= self.rule.options.get("after_bytes", half):
                raise Cut

    async def json(self, *, data_plane: bool = True) -> Json:
        if bodies.content_type(self.request) != bodies.JSON:
            raise NotJson if data_plane else UnknownContentType
        return checks.json_object(await self.body())

    async def ndjson(self) -> bytearray:
        """The lines of an insert or upsert, in either form of body."""
        match bodies.content_type(self.request):
            case bodies.NDJSON:
                return await self.body()
            case bodies.MULTIPART:
                body = await self.body(self.body_limit + bodies.MULTIPART_EXTRA)
                return bodies.vectors_part(body, self.request.headers["Content-Type"])
            case _:
                raise UnknownContentType
