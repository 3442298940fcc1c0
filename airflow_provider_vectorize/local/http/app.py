"""The HTTP application: every request passes the budget, the faults and the guard on its way to a handler."""

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
from airflow_provider_vectorize.local.http import sabotage
from airflow_provider_vectorize.local.http.auth import Guard, credential
from airflow_provider_vectorize.local.http.bodies import answer_expect_later
from airflow_provider_vectorize.local.http.call import Call, Cut
from airflow_provider_vectorize.local.http.handlers import Handlers
from airflow_provider_vectorize.local.http.late_requests import LateRequests
from airflow_provider_vectorize.local.routes import ROUTES, WRITES

logger = logging.getLogger(__name__)
Handler = Callable[[Call], Awaitable[Any]]
ACCOUNT_ID_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running local Vectorize is made of."""

    engine: Engine
    clock: Clock
    budget: Budget
    guard: Guard
    faults: Faults
    recorder: Recorder
    late: LateRequests


class Api:
    """Turns requests into answers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._handlers = Handlers(parts.engine, parts.faults)

    def add_routes(self, app: web.Application) -> None:
        for method, path, operation in ROUTES:
            handler: Handler = getattr(self._handlers, operation)
            app.router.add_route(method, path, self._route(operation, handler), expect_handler=answer_expect_later)

    async def unmatched(self, request: web.Request, error: web.HTTPException) -> web.StreamResponse:
        """For a URL, or a method on it, that the API does not have."""

        async def refuse(call: Call) -> None:
            raise MethodNotAllowed(request.method) if error.status == 405 else NoRoute(request.path)

        return await self._answer(request, "unknown", refuse)

    def _route(self, operation: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await self._answer(request, operation, handler)

        return answer

    async def _answer(self, request: web.Request, operation: str, handler: Handler) -> web.StreamResponse:
        parts = self._parts
        recorded = parts.recorder.arrive(
            request.method, request.path, request.query_string, operation, parts.clock.now()
        )
        verdict = parts.budget.spend(_who(request))
        call = Call(request, recorded, None, parts.engine.limits.body_bytes)
        try:
            response = await self._respond(call, handler, verdict)
            recorded.status = response.status
            return response
        except Cut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()  # to nobody
        finally:
            recorded.ended = parts.clock.now()

    async def _respond(self, call: Call, handler: Handler, verdict: Verdict) -> web.StreamResponse:
        try:
            response = await self._operate(call, handler, verdict)
        except Problem as problem:
            response = _json(problem.body(), problem.status)
            response.headers.update(problem.headers)
        except (Cut, ConnectionError):
            raise
        except Exception:
            logger.exception("%s %s failed", call.request.method, call.request.path)
            response = _json(Problem("Internal error").body(), 500)
        # The time of the acknowledgement, not of the answer: a mutation is never processed before it.
        at = self._parts.clock.now() if call.mutation is None else call.mutation.accepted_at
        response.headers["Date"] = email.utils.formatdate(at, usegmt=True)
        response.headers["cf-ray"] = f"{secrets.token_hex(8)}-LCL"
        response.headers["Server"] = "local-vectorize"
        response.headers.update(verdict.headers())
        return await sabotage.after(call, response)

    async def _operate(self, call: Call, handler: Handler, verdict: Verdict) -> web.Response:
        recorded, parts = call.recorded, self._parts
        if not verdict.allowed:
            recorded.in_block = True
            raise RateLimited(verdict.reset)
        call.rule = parts.faults.meet(recorded.operation, recorded.method, recorded.path)
        if call.rule is not None:
            recorded.fault = call.rule.fault
            instead = await sabotage.before(call.rule)
            if instead is not None:
                return instead
        account = call.request.match_info.get("account")
        if account is not None and len(account) > ACCOUNT_ID_CHARACTERS:
            raise NoRoute(call.request.path)
        parts.guard.admit(call.request.headers, account, writes=recorded.operation in WRITES)
        if (call.meets("cut_during_body") or call.meets("cut_before_apply")) and not call.request.can_read_body:
            raise Cut  # there is no body that the handler could be cut in
        if call.rule is not None and call.rule.fault == "late":
            await call.keep_body()
            parts.late.add(call, handler, call.rule.options.get("seconds", 60.0))
            return sabotage.instead_of_late(call.rule)
        result = await handler(call)
        return _json({"success": True, "result": result, "errors": [], "messages": []}, 200)


def _who(request: web.Request) -> str:
    try:
        return credential(request.headers) or ""
    except MalformedAuthorization:
        return ""


def _json(body: object, status: int) -> web.Response:
    return web.Response(
        body=orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), status=status, content_type="application/json"
    )
