"""Control API under ``/__local__/``: faults, folding, clock and recorded requests. See docs/local-vectorize.md."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from airflow_provider_vectorize.local.engine.clock import milliseconds
from airflow_provider_vectorize.local.engine.digest import digest
from airflow_provider_vectorize.local.engine.problems import IndexNotFound, Problem
from airflow_provider_vectorize.local.engine.records import Index, Json
from airflow_provider_vectorize.local.faults.rules import Flap
from airflow_provider_vectorize.local.faults.values import (
    BUDGET,
    CLOCK_SHIFT,
    FOREIGN_TIMES,
    SECONDS,
    TEXT,
    TIMES,
    BadValue,
    Field,
    parse_fields,
)
from airflow_provider_vectorize.local.http import checks
from airflow_provider_vectorize.local.http.app import Components

PREFIX = "/__local__"
INDEX: dict[str, Field] = {"index": TEXT, "account_id": TEXT}


class Control:
    """Handlers of the control API. They need no credentials. The module ``origins`` refuses requests of web pages."""

    def __init__(self, components: Components, base_url: Callable[[], str]) -> None:
        self._components = components
        self._engine = components.engine
        self._base_url = base_url

    def add_routes(self, app: web.Application) -> None:
        for method, path, handler in (
            ("GET", "/", self.status),
            ("POST", "/reset", self.reset),
            ("POST", "/lag", self.lag),
            ("POST", "/hold", self.hold),
            ("POST", "/release", self.release),
            ("POST", "/process", self.process),
            ("POST", "/foreign", self.foreign),
            ("POST", "/clock", self.clock),
            ("POST", "/budget", self.budget),
            ("GET", "/faults", self.list_faults),
            ("POST", "/faults", self.add_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("POST", "/flap", self.flap),
            ("DELETE", "/flap", self.steady),
            ("GET", "/requests", self.requests),
            ("DELETE", "/requests", self.clear_requests),
            ("GET", "/dump", self.dump),
        ):
            app.router.add_route(method, PREFIX + path, json_route(handler))

    # State

    async def status(self, body: Json) -> Json:
        engine, budget = self._engine, self._components.budget
        return {
            "base_url": self._base_url(),
            "lag": engine.folding.lag,
            "held": engine.folding.held,
            "clock_shift": self._components.clock.shift,
            "limits": asdict(engine.limits),
            "budget": {
                "allowance": str(budget.allowance),
                "blocks": budget.blocks,
                "arrived_during_block": budget.arrived_during_block,
                "windows": [asdict(window) for window in budget.windows()],
            },
            "late_requests": len(self._components.late_requests),
            "indexes": await asyncio.to_thread(self._indexes),
            **self._components.faults.describe(),
        }

    def _indexes(self) -> list[Json]:
        infos = [(index, self._engine.index_info(index)) for index in self._engine.catalog.indexes()]
        backlog = self._engine.catalog.pending_counts()  # after the infos, whose reading may process mutations
        return [
            {
                "account_id": index.account,
                "name": index.name,
                "dimensions": index.dimensions,
                "metric": index.metric,
                "vectors": info.vectors,
                "pending_mutations": backlog.get(index.key, 0),
                "processed_up_to_mutation": info.mutation_id,
                "processed_up_to": info.processed_at,
            }
            for index, info in infos
        ]

    async def requests(self, body: Json) -> Json:
        return {"requests": [asdict(record) for record in list(self._components.recorder.requests)]}

    async def clear_requests(self, body: Json) -> Json:
        self._components.recorder.requests.clear()
        return {}

    async def dump(self, body: Json) -> Json:
        fields = parse_fields(body, INDEX, "index")

        def read_digests() -> Json:
            index = self.find_index(fields)
            return {vector.id: digest(vector) for vector in self._engine.visible_vectors(index)}

        return {"vectors": await asyncio.to_thread(read_digests)}

    # Folding and time

    async def reset(self, body: Json) -> Json:
        components = self._components
        components.faults.clear()
        components.late_requests.clear()
        components.clock.shift = 0.0
        components.budget.reset()
        await asyncio.to_thread(self._engine.reset)
        self._engine.folding.reset()
        components.recorder.requests.clear()
        return {}

    async def lag(self, body: Json) -> Json:
        self._engine.folding.set_lag(parse_fields(body, {"seconds": SECONDS}, "seconds")["seconds"])
        return {}

    async def hold(self, body: Json) -> Json:
        await asyncio.to_thread(self._engine.folding.hold)
        return {}

    async def release(self, body: Json) -> Json:
        self._engine.folding.release()
        return {}

    async def process(self, body: Json) -> Json:
        fields = parse_fields(body, INDEX | {"batches": TIMES, "mutations": TIMES})

        def fold() -> list[Json]:
            index = self.find_index(fields) if "index" in fields else None
            batches = self._engine.folding.process(index, fields.get("batches"), mutations=fields.get("mutations"))
            return [asdict(batch) | {"processed_at": milliseconds(batch.processed_at)} for batch in batches]

        return {"folded": await asyncio.to_thread(fold)}

    async def foreign(self, body: Json) -> Json:
        fields = parse_fields(body, INDEX | {"times": FOREIGN_TIMES}, "index")

        def log_mutations() -> list[str]:
            index = self.find_index(fields)
            return [self._engine.foreign_mutation(index.account, index.name).id for _ in range(fields.get("times", 1))]

        return {"mutation_ids": await asyncio.to_thread(log_mutations)}

    async def clock(self, body: Json) -> Json:
        self._components.clock.shift = parse_fields(body, {"shift": CLOCK_SHIFT}, "shift")["shift"]
        self._engine.folding.wake()
        await self._components.late_requests.carry_out()
        return {}

    async def budget(self, body: Json) -> Json:
        self._components.budget.reset(parse_fields(body, {"allowance": BUDGET}).get("allowance"))
        return {}

    # Faults

    async def list_faults(self, body: Json) -> Json:
        return self._components.faults.describe()

    async def add_fault(self, body: Json) -> Json:
        self._components.faults.add(body)
        return {}

    async def clear_faults(self, body: Json) -> Json:
        self._components.faults.clear()
        return {}

    async def flap(self, body: Json) -> Json:
        self._components.faults.flap = Flap.parse(body)
        return {}

    async def steady(self, body: Json) -> Json:
        self._components.faults.flap = None
        return {}

    def find_index(self, fields: Json) -> Index:
        """Return the index that a body names.

        :raises IndexNotFound: No index has this name, or several accounts have one and the body names no account.
        """
        name, account = fields["index"], fields.get("account_id")
        indexes = [index for index in self._engine.catalog.indexes(account) if index.name == name]
        if len(indexes) != 1:
            raise IndexNotFound(name)
        return indexes[0]


def json_route(handler: Callable[[Json], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a route that calls a handler with the query and the JSON body of a request, and returns its result."""

    async def route(request: web.Request) -> web.Response:
        try:
            text = await request.read()
            body = checks.json_object(text) if text else {}
            return _json(await handler(dict(request.query) | body))
        except Problem as problem:
            return _json({"error": problem.message}, problem.status)
        except BadValue as error:
            return _json({"error": str(error)}, 400)

    return route


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
