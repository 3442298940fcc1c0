"""An Airflow connection becomes a client. The only place that reads a connection's fields."""

from __future__ import annotations

import difflib
import importlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from airflow_provider_vectorize import provider_info
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import BASE_URL, Credentials
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.visibility.monitor import IndexMonitor

log = logging.getLogger(__name__)

#: Keys of a connection in JSON.
_KEYS = ("conn_type", "description", "host", "login", "password", "schema", "port", "extra")
#: Names under which people look for the connection's own fields among the extra fields.
_STANDARD_FIELDS = {
    **dict.fromkeys(("token", "api_token", "api_key", "password", "secret"), 'the field "API token" (password)'),
    **dict.fromkeys(("host", "url", "base_url", "api_base_url", "endpoint"), 'the field "API base URL" (host)'),
    **dict.fromkeys(("email", "e_mail", "login", "user"), 'the field "E-mail" (login)'),
}
#: What was logged: each note once a process and connection.
_noted: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class ConnectionSettings:
    """What a connection says, checked.

    :param notes: sentences about settings that are probably not what was meant, without a secret.
    """

    credentials: Credentials
    retry: RetryPolicy
    reserve: float
    timeout: float
    verify: bool | str
    notes: tuple[str, ...]


def client_from(
    connection: Any, *, limits: Limits = LIMITS, retry: RetryPolicy | None = None, reserve: float | None = None
) -> VectorizeClient:
    """Make a client from an Airflow connection. Each note about its settings is logged once a process.

    :param connection: of the type ``vectorize``.
    :param retry: instead of the connection's own.
    :param reserve: instead of the connection's own.
    :raises ConfigError: a sentence that says which field to correct.
    """
    settings = read_connection(connection)
    for note in settings.notes:
        if (connection.conn_id, note) not in _noted:
            _noted.add((connection.conn_id, note))
            log.warning(note)
    return VectorizeClient(
        settings.credentials,
        limits=limits,
        retry=retry or settings.retry,
        reserve=settings.reserve if reserve is None else reserve,
        timeout=settings.timeout,
        verify=settings.verify,
    )


def monitor_from(connection: Any, index_name: str) -> IndexMonitor:
    """Return a monitor of an index, for sensors and triggers.

    Each request is tried once, since the next check is the retry, and may use the whole budget, since waiting is what
    its reserve is for. A marker that was given up can do no harm, because its id is never used again.
    """
    limits = replace(LIMITS, late_seconds=0)
    return IndexMonitor(client_from(connection, limits=limits, retry=RetryPolicy(total=0), reserve=0), index_name)


def read_connection(connection: Any) -> ConnectionSettings:
    """Check all fields of a connection.

    :raises ConfigError: a sentence that says which field to correct.
    """
    origin = f'the connection "{connection.conn_id}"'
    extra = _extra(connection, origin)
    unknown = _unknown_fields(extra, origin)
    base_url, assumed = _base_url(connection)
    try:
        credentials = Credentials(
            account_id=str(extra.get("account_id") or ""),
            secret=connection.password or "",
            email=connection.login or None,
            base_url=base_url,
            origin=origin,
        )
    except ConfigError as error:
        raise ConfigError(" ".join((error.message, *unknown))) from None
    if assumed:
        assumed = f"The API base URL of {origin} has no scheme: {credentials.base_url} is used."
    return ConnectionSettings(
        credentials,
        retry=RetryPolicy(total=_number(extra, "retry_seconds", 1_800.0, origin, most=604_800)),
        reserve=_number(extra, "budget_reserve", 0.2, origin, most=0.9),
        timeout=_number(extra, "timeout", 110.0, origin, least=1, most=3_600),
        verify=_verify(extra.get("verify"), origin),
        notes=(*unknown, assumed) if assumed else unknown,
    )


def _extra(connection: Any, origin: str) -> Mapping[str, Any]:
    raw = connection.extra
    if raw in (None, ""):
        return {}
    try:
        value = json.loads(raw) if isinstance(raw, str) else raw
        twice = isinstance(value, str) and isinstance(json.loads(value), dict)
    except ValueError:
        raise ConfigError(f"The extra fields of {origin} are not JSON: {_excuse(raw)}.") from None
    if twice:
        raise ConfigError(f"The extra fields of {origin} are JSON inside a JSON string: remove the outer quotes.")
    if not isinstance(value, dict):
        kind = "null" if value is None else type(value).__name__
        raise ConfigError(
            f'The extra fields of {origin} have to be a JSON object such as {{"account_id": "…"}}, not a {kind}.'
        )
    connection.extra_dejson  # noqa: B018 - makes Airflow mask the secrets among them
    return value


def _excuse(text: str) -> str:
    """Say where JSON is wrong, without the text itself."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "it is a string"


def _unknown_fields(extra: Mapping[str, Any], origin: str) -> tuple[str, ...]:
    known = list(provider_info.CONN_FIELDS)
    notes = []
    for name in extra:
        if name in known or name.startswith("__"):  # Airflow's own
            continue
        plain = name.removeprefix("extra__vectorize__").lower().replace("-", "_").replace(" ", "_")
        near = [plain] if plain in known else difflib.get_close_matches(plain, known, n=1)
        meant = f'"{near[0]}"' if near else _STANDARD_FIELDS.get(plain)
        hint = f" Did you mean {meant}?" if meant else f" There are {', '.join(known)}."
        notes.append(f'The extra field "{name[:40]}" of {origin} is not used.{hint}')
    return tuple(notes)


def _base_url(connection: Any) -> tuple[str, str]:
    """Return the API's address, and a text if https was assumed.

    A connection given as a URI has its port, and the path as schema, apart. An address without a path gets
    Cloudflare's. A slash at the end of another host means that the API is at its root.
    """
    host, schema = (connection.host or "").strip(), (connection.schema or "").strip()
    if not host:
        return BASE_URL, ""
    scheme_given = schema.lower() in ("http", "https")
    scheme, found, rest = host.partition("://")
    if not found:
        scheme, rest = (schema.lower() if scheme_given else "https"), host
    name, slash, path = rest.partition("/")
    if not slash and schema and not scheme_given:
        slash, path = "/", schema
    default = urlsplit(BASE_URL)
    if name and (not slash or (name.lower() == default.netloc and not path.strip("/"))):
        slash, path = "", default.path
    url = f"{scheme}://{_with_port(name, connection.port)}{slash}{path}"
    return url, "" if found or scheme_given else "https"


def _with_port(name: str, port: int | None) -> str:
    user, at, address = name.rpartition("@")
    if address.count(":") > 1 and not address.startswith("["):
        address = f"[{address}]"  # an IPv6 address
    if port and ":" not in address.rpartition("]")[2]:
        address += f":{port}"
    return f"{user}{at}{address}"


def _number(
    extra: Mapping[str, Any], name: str, default: float, origin: str, *, least: float = 0, most: float
) -> float:
    value = extra.get(name)
    if value in (None, ""):
        return default
    try:
        number = float(cast("float | str", value))
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if isinstance(value, bool) or not least <= number <= most:
        raise ConfigError(f"The extra field {name!r} of {origin} has to be a number from {least:,g} to {most:,g}.")
    return number


def _verify(value: Any, origin: str) -> bool | str:
    text = "" if value is None else str(value).strip()
    if text.lower() in ("", "true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off"):
        return False
    if not isinstance(value, str) or not Path(text).exists():
        found = f"; there is no {text!r}" if isinstance(value, str) else ""
        raise ConfigError(
            f"The extra field 'verify' of {origin} has to be true, false, or the path of a bundle of certificates"
            f"{found}."
        )
    return text


# ---------------------------------------------------------------- connections that Airflow does not find


def missing_connection(conn_id: str) -> ConfigError:
    """Return the error for a connection that Airflow did not find."""
    fault = variable_fault(conn_id)
    if fault:
        return ConfigError(fault)
    if _outside_of_a_task():
        return ConfigError(
            f'There is no connection "{conn_id}" in the environment variables or secrets backends of this process. '
            "Outside of a task, Airflow 3 does not read connections from its database: "
            f"set the environment variable {_variable(conn_id)}, or run this in a task."
        )
    return ConfigError(
        f'There is no connection "{conn_id}": create it under Admin, Connections, '
        f'with the type "{provider_info.HOOK_NAME}".'
    )


def variable_fault(conn_id: str) -> str:
    """Return what is wrong with the environment variable of a connection, without its value, or nothing."""
    text = os.environ.get(_variable(conn_id))
    if text is None:
        return ""
    reason = _text_fault(text.strip())
    if not reason:
        return ""
    return (
        f"The environment variable {_variable(conn_id)} is set, and is not a connection: {reason}. Write it as JSON: "
        '{"conn_type": "vectorize", "password": "<token>", "extra": {"account_id": "<account id>"}}.'
    )


def _variable(conn_id: str) -> str:
    return f"AIRFLOW_CONN_{conn_id.upper()}"


def _text_fault(text: str) -> str:
    if not text:
        return "it is empty"
    if text[0] in "{[\"'" or "://" not in text:
        return _json_fault(text)
    try:
        urlsplit(text).port  # noqa: B018 - raises for a port that is no number
    except ValueError:
        return "its host or port cannot be read. Percent-encode special characters of a URI"
    return ""


def _json_fault(text: str) -> str:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if text[0] not in "{[\"'":
            return "it is neither a JSON object nor a URI"
        return f"its JSON is wrong ({error.msg} at line {error.lineno}, column {error.colno})"
    if not isinstance(value, dict):
        return "its JSON is not an object"
    unknown = [key[:40] for key in value if key not in _KEYS]
    if unknown:
        return f"there is no field {unknown[0]!r} beside {', '.join(_KEYS)}"
    return "" if not value.get("port") or str(value["port"]).isdecimal() else "its port is not a number"


def _outside_of_a_task() -> bool:
    """Check whether this process is one in which Airflow 3 has no way to its database, such as a plain shell."""
    try:
        runner = importlib.import_module("airflow.sdk.execution_time.task_runner")
    except ImportError:  # Airflow 2 reads its database everywhere
        return False
    in_task = getattr(runner, "SUPERVISOR_COMMS", None) is not None
    return not in_task and os.environ.get("_AIRFLOW_PROCESS_CONTEXT") != "server"
