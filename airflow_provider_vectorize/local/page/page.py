"""Routes of the page at ``/``. The browser reads its state every second, and draws everything from JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files
from itertools import islice

from aiohttp import web

from airflow_provider_vectorize.local.engine.problems import Problem
from airflow_provider_vectorize.local.engine.records import Index, Json
from airflow_provider_vectorize.local.faults.values import TEXT, BadValue, parse_fields
from airflow_provider_vectorize.local.http.app import Components
from airflow_provider_vectorize.local.http.control import INDEX, PREFIX, Control, json_route
from airflow_provider_vectorize.local.http.handlers import Handlers
from airflow_provider_vectorize.local.page.samples import NAMESPACE, Samples

SHOWN_REQUESTS = 50
FILES = {"index.html": "text/html", "page.css": "text/css", "page.js": "text/javascript", "plot.js": "text/javascript"}
HEADERS = {
    # The page loads nothing from other servers, and other pages cannot embed it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class StatusPage:
    """Handlers of the page. It needs no credentials, like the control API, and spends no request budget."""

    def __init__(self, components: Components, control: Control) -> None:
        self._components = components
        self._control = control
        self._handlers = Handlers(components.engine, components.faults)
        self._samples = Samples(components.engine)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/", _file_route("index.html"))
        for name in FILES:
            app.router.add_get(f"{PREFIX}/page/{name}", _file_route(name))
        app.router.add_get(f"{PREFIX}/page/state", json_route(self.state))
        app.router.add_get(f"{PREFIX}/page/plot", json_route(self.plot))
        app.router.add_post(f"{PREFIX}/page/query", json_route(self.query))

    async def state(self, body: Json) -> Json:
        """Return what the control API says about the server, and the last requests, newest first."""
        newest = islice(reversed(self._components.recorder.requests), SHOWN_REQUESTS)
        requests = [asdict(record) for record in newest]
        return await self._control.status({}) | {"requests": requests}

    async def plot(self, body: Json) -> Json:
        """Return the plot of an index. See :meth:`Sample.describe`."""
        fields = parse_fields(body, INDEX | {"color": TEXT}, "index")
        # In a thread, so that other requests are answered while a large index is read and projected.
        return await asyncio.to_thread(self._plot, self._control.find_index(fields), fields.get("color", NAMESPACE))

    def _plot(self, index: Index, color: str) -> Json:
        return self._samples.get(index).describe(color)

    async def query(self, body: Json) -> Json:
        """Return the result of a query of the API, which is not recorded as a request, and its duration."""
        fields = parse_fields({name: body.pop(name, None) for name in INDEX}, INDEX, "index")
        index = self._control.find_index(fields)
        started = time.perf_counter()
        try:
            result = await self._handlers.answer_query(index.account, index.name, body)
        except Problem as problem:
            raise BadValue(f"{problem.code}: {problem.message}") from problem
        return result | {"seconds": time.perf_counter() - started}


def _file_route(name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = files(__package__).joinpath(name).read_bytes()

    async def route(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=FILES[name], charset="utf-8", headers=HEADERS)

    return route
