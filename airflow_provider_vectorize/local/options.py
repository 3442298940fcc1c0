"""Options of the command line of local Vectorize."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.local.engine.budget import Allowance
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.records import Json
from airflow_provider_vectorize.local.faults.rules import Rule
from airflow_provider_vectorize.local.faults.values import BUDGET, SECONDS, TIMES, BadValue, Field, Integer


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="vectorize-local",
        description="Run local Vectorize, a server for the HTTP API v2 of Cloudflare Vectorize.",
    )
    add = parser.add_argument
    add("--port", type=_port, default=8787, help="port to listen on; 0 selects a free port (default: 8787)")
    add(
        "--bind",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; an address that other machines can reach requires --allow-remote "
        "(default: 127.0.0.1)",
    )
    add(
        "--allow-remote",
        action="store_true",
        help="allow --bind with an address that other machines can reach, and requests for any host name",
    )
    add("--data", type=_directory, metavar="DIR", help="directory for all data (default: a temporary directory)")
    add("--lag", type=_seconds, default=2.0, metavar="SECONDS", help="time from a write to its visibility (default: 2)")
    add("--no-sync", action="store_true", help="faster, but acknowledged writes may be lost if the machine crashes")
    add("--account-id", type=_text, help="refuse all other account IDs")
    add("--token", type=_text, help="refuse all other API tokens and keys")
    add("--read-only-token", type=_text, metavar="TOKEN", help="second token, without the permission to write")
    add(
        "--budget",
        type=_budget,
        default=Allowance(),
        metavar="N/SECONDS",
        help="requests that a credential has in a window (default: 1200/300)",
    )
    add("--limit", type=_limit, action="append", default=[], metavar="NAME=NUMBER",
        help="override a limit: " + ", ".join(field.name for field in dataclasses.fields(Limits)))  # fmt: skip
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="JSON",
        help="fault that is active from the start, in the format of the control API",
    )
    add("--port-file", type=Path, metavar="FILE", help="write the port to this file once the server listens")
    add(
        "--until-stdin-closes",
        action="store_true",
        help="stop when standard input is closed, as when the parent process ends",
    )
    return parser


def _text(text: str) -> str:
    """Refuse an empty value, as an unset variable of a shell passes it. It would mean that there is no such option."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def _directory(text: str) -> Path:
    return Path(_text(text))


def _number(kind: type[int] | type[float], text: str) -> float | str:
    """Return a number, or the text itself, which the check of the option then refuses."""
    try:
        return kind(text)
    except ValueError:
        return text


def _port(text: str) -> int:
    return int(_check_option(Integer(0, 65_535), "port", _number(int, text)))


def _seconds(text: str) -> float:
    return float(_check_option(SECONDS, "lag", _number(float, text)))


def _limit(text: str) -> tuple[str, int]:
    name, separator, number = text.partition("=")
    if name not in {field.name for field in dataclasses.fields(Limits)}:
        raise argparse.ArgumentTypeError(f"unknown limit: {name}")
    if not separator:
        raise argparse.ArgumentTypeError(f"must have the form NAME=NUMBER, such as {name}={getattr(Limits(), name)}")
    return name, _check_option(TIMES, name, _number(int, number))


def _budget(text: str) -> Allowance:
    allowance: Allowance = _check_option(BUDGET, "budget", text)
    return allowance


def _fault(text: str) -> Json:
    """Validate a fault rule, and return its JSON."""
    try:
        rule: Json = json.loads(text)
        Rule.parse(rule)
    except BadValue as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not valid JSON: {error}") from None
    return rule


def _check_option(field: Field, name: str, value: Any) -> Any:
    try:
        return field.check(name, value)
    except BadValue as error:
        raise argparse.ArgumentTypeError(str(error)) from None
