"""HTTP interface of the API: each request passes the budget, the faults and the guard before its handler."""

from __future__ import annotations

import email.utils
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from airflow_provider_vectorize.local.engine.budget import Budget, Verdict
from airflow_provider_vectorize.local.engine.clock import Clock
from airflow_provider_vectorize.local.engine.engine import Engine
from airflow_provider_vectorize.local.engine.problems import (
    MalformedAuthorization,
    MethodNotAllowed,
    NoRoute,
    Problem,
    RateLimited,
)
from airflow_provider_vectorize.local.faults.recorder import Recorder
from airflow_provider_vectorize.local.faults.rules import Faults
from airflow_provider_vectorize.local.http import fault_effects
from airflow_provider_vectorize.local.http.auth import Guard, credential
from airflow_provider_vectorize.local.http.bodies import defer_100_continue
from airflow_provider_vectorize.local.http.call import Call, ConnectionCut
from airflow_provider_vectorize.local.http.handlers import Handlers
from airflow_provider_vectorize.local.http.late_requests import LateRequests
from airflow_provider_vectorize.local.routes import ROUTES, WRITES

logger = logging.getLogger(__name__)
Handler = Callable[[Call], Awaitable[Any]]
ACCOUNT_ID_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class Components:
    """Components of a running local Vectorize."""

    engine: Engine
    clock: Clock
    budget: Budget
    guard: Guard
    faults: Faults
    recorder: Recorder
    late_requests: LateRequests


class Api:
    """Passes requests to handlers, and their results or errors to responses."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._handlers = Handlers(components.engine, components.faults)

    def add_routes(self, app: web.Application) -> None:
        for method, path, operation in ROUTES:
            handler: Handler = getattr(self._handlers, operation)
            app.router.add_route(method, path, self._route(operation, handler), expect_handler=defer_100_continue)

    async def unmatched(self, request: web.Request, error: web.HTTPException) -> web.StreamResponse:
        """Respond to a request for an unknown URL or method."""

        async def refuse(call: Call) -> None:
            raise MethodNotAllowed(request.method) if error.status == 405 else NoRoute(request.path)

        return await self._handle(request, "unknown", refuse)

    def _route(self, operation: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def route(request: web.Request) -> web.StreamResponse:
            return await self._handle(request, operation, handler)

        return route

    async def _handle(self, request: web.Request, operation: str, handler: Handler) -> web.StreamResponse:
        components = self._components
        recorded = components.recorder.record(
            request.method, request.path, request.query_string, operation, components.clock.now()
        )
        verdict = components.budget.spend(_credential_of(request))
        call = Call(request, recorded, None, components.engine.limits.body_bytes)
        try:
            response = await self._respond(call, handler, verdict)
            recorded.status = response.status
            return response
        except ConnectionCut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()  # The client does not receive it.
        finally:
            recorded.ended = components.clock.now()

    async def _respond(self, call: Call, handler: Handler, verdict: Verdict) -> web.StreamResponse:
        try:
            response = await self._operate(call, handler, verdict)
        except Problem as problem:
            call.recorded.code = problem.code
            response = _json(problem.body(), problem.status)
            response.headers.update(problem.headers)
        except (ConnectionCut, ConnectionError):
            raise
        except Exception:
            logger.exception(
                "Failed to handle %s %s. Responding with status 500.", call.request.method, call.request.path
            )
            response = _json(Problem("Internal error").body(), 500)
        # The time of the acknowledgement, not of the response, so that no mutation is processed before its ``Date``.
        at = self._components.clock.now() if call.mutation is None else call.mutation.accepted_at
        response.headers["Date"] = email.utils.formatdate(at, usegmt=True)
        response.headers["cf-ray"] = f"{secrets.token_hex(8)}-LCL"
        response.headers["Server"] = "local-vectorize"
        response.headers.update(verdict.headers())
        return await fault_effects.after_operation(call, response)

    async def _operate(self, call: Call, handler: Handler, verdict: Verdict) -> web.Response:
        recorded, components = call.recorded, self._components
        if not verdict.allowed:
            recorded.in_block = True
            raise RateLimited(verdict.reset)
        call.rule = components.faults.find_rule(recorded.operation, recorded.method, recorded.path)
        if call.rule is not None:
            recorded.fault = call.rule.fault
            response = await fault_effects.before_body(call.rule)
            if response is not None:
                return response
        account = call.request.match_info.get("account")
        if account is not None and len(account) > ACCOUNT_ID_CHARACTERS:
            raise NoRoute(call.request.path)
        components.guard.authorize(call.request.headers, account, writes=recorded.operation in WRITES)
        if (call.has_fault("cut_during_body") or call.has_fault("cut_before_apply")) and not call.request.can_read_body:
            raise ConnectionCut  # Without a body the handler never reads one, so the connection is closed here.
        if call.rule is not None and call.rule.fault == "late":
            await call.buffer_body()
            components.late_requests.add(call, handler, call.rule.options.get("seconds", 60.0))
            return fault_effects.immediate_response(call.rule)
        result = await handler(call)
        if isinstance(result, bytes):  # Workers KV sends values without an envelope.
            return web.Response(body=result, content_type="application/octet-stream")
        return _json({"success": True, "result": result, "errors": [], "messages": []}, 200)


def _credential_of(request: web.Request) -> str:
    try:
        return credential(request.headers) or ""
    except MalformedAuthorization:
        return ""


def _json(body: object, status: int) -> web.Response:
    return web.Response(
        body=orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), status=status, content_type="application/json"
    )
