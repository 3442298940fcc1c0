"""The control API under ``/__local__/``: faults, folding, time, and what happened. See docs/local-vectorize.md."""

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
    checked,
)
from airflow_provider_vectorize.local.http import checks
from airflow_provider_vectorize.local.http.app import Parts

PREFIX = "/__local__"
INDEX: dict[str, Field] = {"index": TEXT, "account_id": TEXT}


class Control:
    """Needs no credentials: requests of web pages and for other names are refused before, see ``origins``."""

    def __init__(self, parts: Parts, base_url: Callable[[], str]) -> None:
        self._parts = parts
        self._engine = parts.engine
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
            app.router.add_route(method, PREFIX + path, _answer(handler))

    # What is

    async def status(self, body: Json) -> Json:
        engine, budget = self._engine, self._parts.budget
        return {
            "base_url": self._base_url(),
            "lag": engine.folder.lag,
            "held": engine.folder.held,
            "clock_shift": self._parts.clock.shift,
            "limits": asdict(engine.limits),
            "budget": {
                "allowance": str(budget.allowance),
                "blocks": budget.blocks,
                "arrived_during_block": budget.arrived_during_block,
            },
            "late_requests": len(self._parts.late),
            "indexes": await asyncio.to_thread(self._indexes),
            **self._parts.faults.describe(),
        }

    def _indexes(self) -> list[Json]:
        backlog = self._engine.catalog.backlog()
        found = []
        for index in self._engine.catalog.indexes():
            info = self._engine.peek(index)
            found.append({
                "account_id": index.account,
                "name": index.name,
                "dimensions": index.dimensions,
                "metric": index.metric,
                "vectors": info.vectors,
                "pending_mutations": backlog.get(index.key, 0),
            })
        return found

    async def requests(self, body: Json) -> Json:
        return {"requests": [asdict(one) for one in list(self._parts.recorder.requests)]}

    async def clear_requests(self, body: Json) -> Json:
        self._parts.recorder.requests.clear()
        return {}

    async def dump(self, body: Json) -> Json:
        given = checked(body, INDEX, "index")

        def work() -> Json:
            index = self._find(given)
            return {vector.id: digest(vector) for vector in self._engine.everything(index)}

        return {"vectors": await asyncio.to_thread(work)}

    # Folding and time

    async def reset(self, body: Json) -> Json:
        parts = self._parts
        parts.faults.clear()
        parts.late.clear()
        parts.clock.shift = 0.0
        parts.budget.reset()
        await asyncio.to_thread(self._engine.reset)
        self._engine.folder.reset()
        parts.recorder.requests.clear()
        return {}

    async def lag(self, body: Json) -> Json:
        self._engine.folder.set_lag(checked(body, {"seconds": SECONDS}, "seconds")["seconds"])
        return {}

    async def hold(self, body: Json) -> Json:
        await asyncio.to_thread(self._engine.folder.hold)
        return {}

    async def release(self, body: Json) -> Json:
        self._engine.folder.release()
        return {}

    async def process(self, body: Json) -> Json:
        given = checked(body, INDEX | {"batches": TIMES, "mutations": TIMES})

        def work() -> list[Json]:
            index = self._find(given) if "index" in given else None
            folded = self._engine.folder.process(index, given.get("batches"), mutations=given.get("mutations"))
            return [asdict(one) | {"processed_at": milliseconds(one.processed_at)} for one in folded]

        return {"folded": await asyncio.to_thread(work)}

    async def foreign(self, body: Json) -> Json:
        given = checked(body, INDEX | {"times": FOREIGN_TIMES}, "index")

        def work() -> list[str]:
            index = self._find(given)
            return [self._engine.foreign_mutation(index.account, index.name).id for _ in range(given.get("times", 1))]

        return {"mutation_ids": await asyncio.to_thread(work)}

    async def clock(self, body: Json) -> Json:
        self._parts.clock.shift = checked(body, {"shift": CLOCK_SHIFT}, "shift")["shift"]
        self._engine.folder.wake()
        await self._parts.late.carry_out()
        return {}

    async def budget(self, body: Json) -> Json:
        self._parts.budget.reset(checked(body, {"allowance": BUDGET}).get("allowance"))
        return {}

    # Faults

    async def list_faults(self, body: Json) -> Json:
        return self._parts.faults.describe()

    async def add_fault(self, body: Json) -> Json:
        self._parts.faults.add(body)
        return {}

    async def clear_faults(self, body: Json) -> Json:
        self._parts.faults.clear()
        return {}

    async def flap(self, body: Json) -> Json:
        self._parts.faults.flap = Flap.parse(body)
        return {}

    async def steady(self, body: Json) -> Json:
        self._parts.faults.flap = None
        return {}

    def _find(self, given: Json) -> Index:
        name, account = given["index"], given.get("account_id")
        found = [one for one in self._engine.catalog.indexes(account) if one.name == name]
        if len(found) != 1:
            raise IndexNotFound(name)
        return found[0]


def _answer(handler: Callable[[Json], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        try:
            text = await request.read()
            body = checks.json_object(text) if text else {}
            return _json(await handler(dict(request.query) | body))
        except Problem as problem:
            return _json({"error": problem.message}, problem.status)
        except BadValue as error:
            return _json({"error": str(error)}, 400)

    return answer


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
