# ruff: noqa: T201 - this is a command
"""The command line, and running the server until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import fcntl
import json
import logging
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import web

from airflow_provider_vectorize.local.engine.budget import Allowance, Budget
from airflow_provider_vectorize.local.engine.clock import Clock
from airflow_provider_vectorize.local.engine.engine import Engine
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.problems import Problem
from airflow_provider_vectorize.local.engine.records import Json
from airflow_provider_vectorize.local.faults.recorder import Recorder
from airflow_provider_vectorize.local.faults.rules import Faults, Rule
from airflow_provider_vectorize.local.faults.values import BUDGET, SECONDS, TIMES, BadValue, Field, Whole
from airflow_provider_vectorize.local.http.app import Api, Parts
from airflow_provider_vectorize.local.http.auth import Guard
from airflow_provider_vectorize.local.http.control import PREFIX, Control
from airflow_provider_vectorize.local.http.late_requests import LateRequests
from airflow_provider_vectorize.local.http.origins import is_loopback, refusal
from airflow_provider_vectorize.local.http.page import Page
from airflow_provider_vectorize.local.routes import BASE

ANY_ACCOUNT = "0123456789abcdef0123456789abcdef"
ANY_TOKEN = "local-token"  # noqa: S105 - any other would do as well


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_vectorize.local",
        description="A local Cloudflare Vectorize (HTTP API v2) for tests, demos and development.",
    )
    add = parser.add_argument
    add("--port", type=_port, default=8787, help="0 picks a free one (default: 8787)")
    add("--bind", default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1; others need --allow-remote")
    add(
        "--allow-remote",
        action="store_true",
        help="allow --bind to an address that other machines reach, and requests for any Host",
    )
    add("--data", type=Path, metavar="DIR", help="where everything is kept (default: a temporary directory)")
    add("--lag", type=_seconds, default=2.0, metavar="SECONDS", help="from a write to its visibility (default: 2)")
    add("--no-sync", action="store_true", help="faster: acknowledged writes survive its crash, but not the machine's")
    add("--account-id", help="refuse all other accounts")
    add("--token", help="refuse all other API tokens and keys")
    add("--read-only-token", metavar="TOKEN", help="a token that may read, and is refused to write")
    add("--budget", type=_budget, default=Allowance(), metavar="N/SECONDS", help="default: 1200/300")
    add("--limit", type=_limit, action="append", default=[], metavar="NAME=NUMBER",
        help="override one of: " + ", ".join(field.name for field in dataclasses.fields(Limits)))  # fmt: skip
    add("--fault", type=_fault, action="append", default=[], metavar="JSON", help="a rule as the control API takes")
    add("--port-file", type=Path, metavar="FILE", help="write the port there once it listens")
    add("--until-stdin-closes", action="store_true", help="stop when standard input ends, as when the parent dies")
    return parser


def _port(text: str) -> int:
    return int(_option(Whole(0, 65_535), "a port", int(text)))


def _seconds(text: str) -> float:
    return float(_option(SECONDS, "a time", float(text)))


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in {field.name for field in dataclasses.fields(Limits)}:
        raise argparse.ArgumentTypeError(f"no such limit: {name}")
    return name, _option(TIMES, name, int(number))


def _budget(text: str) -> Allowance:
    allowance: Allowance = _option(BUDGET, "a budget", text)
    return allowance


def _fault(text: str) -> Json:
    """Return the JSON of a rule, so that a reset can start it anew."""
    rule: Json = json.loads(text)
    try:
        Rule.parse(rule)
    except BadValue as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return rule


def _option(field: Field, name: str, value: Any) -> Any:
    try:
        return field.check(name, value)
    except BadValue as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    if not is_loopback(options.bind) and not options.allow_remote:
        print(
            f"refused to bind to {options.bind}: this is for this machine only; --allow-remote overrides",
            file=sys.stderr,
        )
        return 2
    if options.data is not None:
        return _serve_locked(options, options.data)
    with tempfile.TemporaryDirectory(prefix="local-vectorize-", ignore_cleanup_errors=True) as directory:
        return _serve_locked(options, Path(directory))


def _stop_at_end(descriptor: int, stopped: asyncio.Event) -> None:
    if not os.read(descriptor, 1024):
        stopped.set()


def _serve_locked(options: argparse.Namespace, data: Path) -> int:
    data.mkdir(parents=True, exist_ok=True)
    with open(data / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"refused: another local Vectorize uses {data}", file=sys.stderr)
            return 2
        return asyncio.run(_serve(options, data))


async def _serve(options: argparse.Namespace, data: Path) -> int:
    clock = Clock()
    limits = dataclasses.replace(Limits(), **dict(options.limit))
    engine = Engine(data, limits=limits, lag=options.lag, clock=clock, sync=not options.no_sync)
    parts = Parts(
        engine,
        clock,
        Budget(options.budget, clock),
        Guard(options.account_id, options.token, options.read_only_token),
        Faults(),
        Recorder(),
        LateRequests(clock),
    )
    for rule in options.fault:
        parts.faults.add(rule)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    # More than the default: reads that wait for a batch must not keep writes from a thread.
    loop.set_default_executor(ThreadPoolExecutor(32, "worker"))
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stopped.set)
    if options.until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end, sys.stdin.fileno(), stopped)
    port = options.port

    def base_url() -> str:
        host = f"[{options.bind}]" if ":" in options.bind else options.bind
        return f"http://{host}:{port}{BASE}"

    runner = web.AppRunner(application(parts, base_url, any_host=options.allow_remote), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.bind, options.port, shutdown_timeout=2)
        try:
            await site.start()
        except OSError as error:
            print(f"cannot listen on {options.bind}:{options.port}: {error.strerror}", file=sys.stderr)
            return 2
        port = runner.addresses[0][1]
        engine.start()
        print(banner(base_url(), data, options), flush=True)
        if options.port_file is not None:
            _write(options.port_file, str(port))
        await stopped.wait()
    finally:
        await runner.cleanup()
        await asyncio.to_thread(engine.close)
    return 0


def application(parts: Parts, base_url: Callable[[], str], *, any_host: bool = False) -> web.Application:
    """Return the API, the control API and the page.

    :param any_host: Whether requests for other names than this machine's are answered.
    """
    api = Api(parts)

    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        refused = refusal(request.headers, any_host=any_host)
        if refused is None:
            response: web.StreamResponse = await handler(request)
            return response
        status, reason = refused
        body = Problem(reason).body() | {"error": reason}
        return web.Response(body=json.dumps(body).encode(), status=status, content_type="application/json")

    @web.middleware
    async def unmatched(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            if error.status not in (404, 405) or request.path.startswith(PREFIX):
                raise
            return await api.unmatched(request, error)
        return response

    app = web.Application(middlewares=[guard, unmatched])
    api.add_routes(app)
    control = Control(parts, base_url)
    control.add_routes(app)
    app.router.add_get("/", Page(control).show)
    return app


def banner(base_url: str, data: Path, options: argparse.Namespace) -> str:
    """What it is, where, for whom, and what to paste into Airflow."""
    connection: dict[str, Any] = {
        "conn_type": "vectorize",
        "host": base_url,
        "password": options.token or ANY_TOKEN,
        "extra": {"account_id": options.account_id or ANY_ACCOUNT},
    }
    who = "this machine only" if not options.allow_remote else f"everybody who reaches {options.bind}"
    kept = str(data) if options.data is not None else f"{data}, a temporary directory: gone when it stops"
    return "\n".join([
        f"Local Vectorize on {base_url}",
        f"  A stand-in for Cloudflare's Vectorize, for {who}. Nothing goes to Cloudflare.",
        f"  Data: {kept}",
        f"  Credentials: {'those given' if options.token else 'any well-formed account id and token'}."
        f" Writes show after {options.lag:g} s. Control API: {base_url.removesuffix(BASE)}{PREFIX}/",
        f"  In Airflow's form: API base URL {base_url}, API token {connection['password']}, "
        f"Account ID {connection['extra']['account_id']}",
        "  As an environment variable:",
        f"AIRFLOW_CONN_VECTORIZE_DEFAULT='{json.dumps(connection)}'",
    ])


def _write(path: Path, text: str) -> None:
    # In one step: nobody reads half a port.
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    temporary.write_text(text)
    temporary.replace(path)
