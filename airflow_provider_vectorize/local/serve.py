# ruff: noqa: T201 - this command prints to the terminal
"""Command line of local Vectorize: runs the server until it is stopped."""

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
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import web

from airflow_provider_vectorize.local.engine.budget import Budget
from airflow_provider_vectorize.local.engine.clock import Clock
from airflow_provider_vectorize.local.engine.engine import Engine
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.problems import Problem
from airflow_provider_vectorize.local.faults.recorder import Recorder
from airflow_provider_vectorize.local.faults.rules import Faults
from airflow_provider_vectorize.local.http.app import Api, Components
from airflow_provider_vectorize.local.http.auth import Guard
from airflow_provider_vectorize.local.http.control import PREFIX, Control
from airflow_provider_vectorize.local.http.late_requests import LateRequests
from airflow_provider_vectorize.local.http.origins import is_loopback, refusal
from airflow_provider_vectorize.local.options import parser
from airflow_provider_vectorize.local.page.page import StatusPage
from airflow_provider_vectorize.local.routes import BASE

ANY_ACCOUNT = "0123456789abcdef0123456789abcdef"
ANY_TOKEN = "local-token"  # noqa: S105 - the server accepts any token by default


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is stopped, and return the exit status: 0, or 2 if it refuses to start."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    if not is_loopback(options.bind) and not options.allow_remote:
        return _refuse(
            f"Refused to listen on {options.bind}, because other machines can reach this address. "
            "Pass --allow-remote to allow it."
        )
    if options.data is not None:
        return _serve_locked(options, options.data)
    with tempfile.TemporaryDirectory(prefix="local-vectorize-", ignore_cleanup_errors=True) as directory:
        return _serve_locked(options, Path(directory))


def _stop_at_end_of_input(descriptor: int, stopped: asyncio.Event) -> None:
    if not os.read(descriptor, 1024):
        stopped.set()


def _serve_locked(options: argparse.Namespace, data: Path) -> int:
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = open(data / "lock", "w")  # noqa: SIM115 - the lock is held below
    except OSError as error:
        return _refuse(f"Cannot use the data directory {data}: {error.strerror}.")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _refuse(f"Refused to start, because another local Vectorize uses the data directory {data}.")
        try:
            return asyncio.run(_serve(options, data))
        except sqlite3.OperationalError as error:  # for instance a file that may not be written, or a full disk
            return _refuse(f"Cannot use the data directory {data}: {error}.")
        except sqlite3.DatabaseError as error:
            return _refuse(
                f"The data directory {data} is damaged: {error}. Delete it, or pass another one with --data."
            )


def _refuse(message: str) -> int:
    """Print why the server does not start, and return the exit status."""
    print(message, file=sys.stderr)
    return 2


async def _serve(options: argparse.Namespace, data: Path) -> int:
    clock = Clock()
    limits = dataclasses.replace(Limits(), **dict(options.limit))
    engine = Engine(data, limits=limits, lag=options.lag, clock=clock, sync=not options.no_sync)
    components = Components(
        engine,
        clock,
        Budget(options.budget, clock),
        Guard(options.account_id, options.token, options.read_only_token),
        Faults(),
        Recorder(),
        LateRequests(clock),
    )
    for rule in options.fault:
        components.faults.add(rule)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    # More threads than the default, so that reads that wait for a batch do not block writes.
    loop.set_default_executor(ThreadPoolExecutor(32, "worker"))
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop_signal, stopped.set)
    if options.until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_input, sys.stdin.fileno(), stopped)
    port = options.port

    def base_url() -> str:
        host = f"[{options.bind}]" if ":" in options.bind else options.bind
        return f"http://{host}:{port}{BASE}"

    runner = web.AppRunner(application(components, base_url, any_host=options.allow_remote), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.bind, options.port, shutdown_timeout=2)
        try:
            await site.start()
        except OSError as error:
            return _refuse(f"Cannot listen on {options.bind}:{options.port}: {error.strerror}.")
        port = runner.addresses[0][1]
        engine.start()
        print(banner(base_url(), data, options), flush=True)
        if options.port_file is not None:
            try:
                _write_atomically(options.port_file, str(port))
            except OSError as error:
                return _refuse(f"Cannot write the port file {options.port_file}: {error.strerror}.")
        await stopped.wait()
    finally:
        await runner.cleanup()
        await asyncio.to_thread(engine.close)
    return 0


def application(components: Components, base_url: Callable[[], str], *, any_host: bool = False) -> web.Application:
    """Return the web application: the API, the control API and the status page.

    :param base_url: Returns the API base URL, which is known once the server listens.
    :param any_host: Accept requests for any host name.
    """
    api = Api(components)

    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        problem = refusal(request.headers, any_host=any_host)
        if problem is None:
            response: web.StreamResponse = await handler(request)
            return response
        status, reason = problem
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
    control = Control(components, base_url)
    control.add_routes(app)
    StatusPage(components, control).add_routes(app)
    return app


def banner(base_url: str, data: Path, options: argparse.Namespace) -> str:
    """Return the startup message: address, data directory, credentials and the Airflow connection."""
    connection: dict[str, Any] = {
        "conn_type": "vectorize",
        "host": base_url,
        "password": options.token or ANY_TOKEN,
        "extra": {"account_id": options.account_id or ANY_ACCOUNT},
    }
    clients = f"all machines that can reach {options.bind}" if options.allow_remote else "this machine only"
    lifetime = "" if options.data is not None else " (temporary, deleted when the server stops)"
    accepted = "the configured ones" if options.token else "any well-formed account ID and token"
    return "\n".join([
        f"Local Vectorize listens on {base_url}",
        f"  Accepts requests from {clients}, and sends nothing to Cloudflare.",
        f"  Data directory: {data}{lifetime}",
        f"  Credentials: {accepted}. Writes become visible after {options.lag:g} s. "
        f"Control API: {base_url.removesuffix(BASE)}{PREFIX}/",
        f"  Web page with indexes, requests and vectors: {base_url.removesuffix(BASE)}/",
        f"  Airflow connection form: API base URL {base_url}, API token {connection['password']}, "
        f"Account ID {connection['extra']['account_id']}",
        "  Airflow connection as an environment variable:",
        f"AIRFLOW_CONN_VECTORIZE_DEFAULT='{json.dumps(connection)}'",
    ])


def _write_atomically(path: Path, text: str) -> None:
    # The file is replaced in one step, so that no reader sees an incomplete number.
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    temporary.write_text(text)
    temporary.replace(path)
