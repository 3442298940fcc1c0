"""What each fault does to a request."""

from __future__ import annotations

import asyncio

import orjson
from aiohttp import web

from airflow_provider_vectorize.local.engine.data_problems import Throttled
from airflow_provider_vectorize.local.engine.problems import Problem, RateLimited
from airflow_provider_vectorize.local.faults.rules import Rule
from airflow_provider_vectorize.local.http.call import Call, Cut

GATEWAY_PAGE = """<!DOCTYPE html>
<html><head><title>api.cloudflare.com | {status}: Gateway time-out</title></head>
<body><h1>Gateway time-out <span>Error code {status}</span></h1></body></html>
"""


async def before(rule: Rule) -> web.Response | None:
    """Happens before the body is read. Answers in place of the API, cuts, delays, or does nothing."""
    options = rule.options
    match rule.fault:
        case "cut_before":
            raise Cut
        case "rate_limit":
            raise RateLimited(options.get("retry_after", 1))
        case "throttle_40041":
            raise Throttled
        case "http_500":
            return web.Response(status=500, text="Internal Server Error", content_type="text/plain")
        case "gateway_504_html":
            return web.Response(status=504, text=GATEWAY_PAGE.format(status=504), content_type="text/html")
        case "gateway_524_html":
            return web.Response(status=524, text=GATEWAY_PAGE.format(status=524), content_type="text/html")
        case "redirect":
            return web.Response(status=302, headers={"Location": options.get("location", "/")})
        case "delay":
            await asyncio.sleep(options.get("seconds", 1.0))
        case "answer":
            return _given(rule)
    return None


def instead_of_late(rule: Rule) -> web.Response:
    """What is answered to a request that is carried out later: nothing, or an error."""
    status = rule.options.get("status")
    if status is None:
        raise Cut
    return web.Response(status=status, text=GATEWAY_PAGE.format(status=status), content_type="text/html")


def _given(rule: Rule) -> web.Response:
    options = rule.options
    status, headers = options.get("status", 500), options.get("headers")
    if "text" in options:
        return web.Response(status=status, text=options["text"], headers=headers)
    problem = Problem(options.get("message", "Internal error"))
    problem.code = options.get("code", 0)
    return web.Response(
        status=status, body=orjson.dumps(problem.body()), content_type="application/json", headers=headers
    )


async def after(call: Call, response: web.Response) -> web.StreamResponse:
    """Happens when the operation is done: whatever the client sees, it was applied."""
    if call.rule is None:
        return response
    match call.rule.fault:
        case "cut_after_body":
            raise Cut
        case "not_json":
            return web.Response(text="<html>all is well</html>", content_type="text/html")
        case "no_mutation_id":
            body = {"success": True, "result": {}, "errors": [], "messages": []}
            return web.Response(body=orjson.dumps(body), content_type="application/json")
        case "cut_during_answer":
            await _half_an_answer(call, response)
            raise Cut
    return response


async def _half_an_answer(call: Call, response: web.Response) -> None:
    body = bytes(response.body) if isinstance(response.body, bytes) else b""
    half = web.StreamResponse(status=response.status, headers=response.headers)
    half.content_length = len(body)
    await half.prepare(call.request)
    await half.write(body[: len(body) // 2])
