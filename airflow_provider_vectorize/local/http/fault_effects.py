"""Effects of faults on requests."""

from __future__ import annotations

import asyncio

import orjson
from aiohttp import web

from airflow_provider_vectorize.local.engine.data_problems import Throttled
from airflow_provider_vectorize.local.engine.problems import Problem, RateLimited
from airflow_provider_vectorize.local.faults.rules import Rule
from airflow_provider_vectorize.local.http.call import Call, ConnectionCut

GATEWAY_PAGE = """<!DOCTYPE html>
<html><head><title>api.cloudflare.com | {status}: Gateway time-out</title></head>
<body><h1>Gateway time-out <span>Error code {status}</span></h1></body></html>
"""


async def before_body(rule: Rule) -> web.Response | None:
    """Apply a fault before the body is read: delay, raise, or return a response that replaces the API's."""
    options = rule.options
    match rule.fault:
        case "cut_before":
            raise ConnectionCut
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
            return _custom_response(rule)
    return None


def immediate_response(rule: Rule) -> web.Response:
    """Return the error response to a late request. Without a configured status, close the connection."""
    status = rule.options.get("status")
    if status is None:
        raise ConnectionCut
    return web.Response(status=status, text=GATEWAY_PAGE.format(status=status), content_type="text/html")


def _custom_response(rule: Rule) -> web.Response:
    """Return a response with the configured text, or raise the configured error."""
    options = rule.options
    status, headers = options.get("status", 500), options.get("headers")
    if "text" in options:
        return web.Response(status=status, text=options["text"], headers=headers)
    problem = Problem(options.get("message", "Internal error"), headers=headers)
    problem.status, problem.code = status, options.get("code", 0)
    raise problem


async def after_operation(call: Call, response: web.Response) -> web.StreamResponse:
    """Apply a fault after the operation. The write has been applied, regardless of the response."""
    if call.rule is None:
        return response
    match call.rule.fault:
        case "cut_after_body":
            raise ConnectionCut
        case "not_json":
            return web.Response(text="<html>success</html>", content_type="text/html")
        case "no_mutation_id":
            body = {"success": True, "result": {}, "errors": [], "messages": []}
            return web.Response(body=orjson.dumps(body), content_type="application/json")
        case "cut_during_answer":
            await _send_half(call, response)
            raise ConnectionCut
    return response


async def _send_half(call: Call, response: web.Response) -> None:
    body = bytes(response.body) if isinstance(response.body, bytes) else b""
    half_response = web.StreamResponse(status=response.status, headers=response.headers)
    half_response.content_length = len(body)
    await half_response.prepare(call.request)
    await half_response.write(body[: len(body) // 2])
