"""Build a client from an Airflow connection. Only this module reads the fields of a connection."""

from __future__ import annotations

import difflib
import json
import logging
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

#: Names that users give to an extra field although the connection has a standard field for its value.
_STANDARD_FIELDS = {
    **dict.fromkeys(("token", "api_token", "api_key", "password", "secret"), 'the field "API token" (password)'),
    **dict.fromkeys(("host", "url", "base_url", "api_base_url", "endpoint"), 'the field "API base URL" (host)'),
    **dict.fromkeys(("email", "e_mail", "login", "user"), 'the field "E-mail" (login)'),
}
#: Warnings that this process has logged. Each of them names its connection.
_logged_warnings: set[str] = set()


@dataclass(frozen=True)
class ConnectionSettings:
    """The checked settings of a connection.

    :param credentials: Account, secret and API base URL.
    :param retry: How long to retry a failed request.
    :param reserve: Share of the request budget to leave for other clients, 0 to 0.9.
    :param timeout: Seconds without progress before a request counts as failed.
    :param verify: Whether to verify the server's certificate, or the path of a CA bundle.
    :param warnings: Sentences about settings that are probably mistakes. They contain no secret.
    """

    credentials: Credentials
    retry: RetryPolicy
    reserve: float
    timeout: float
    verify: bool | str
    warnings: tuple[str, ...]


def build_client(
    settings: ConnectionSettings,
    *,
    limits: Limits = LIMITS,
    retry: RetryPolicy | None = None,
    reserve: float | None = None,
) -> VectorizeClient:
    """Build a client from the settings of a connection. Each warning about them is logged once per process.

    :param retry: Replaces the retry policy of the connection.
    :param reserve: Replaces the budget reserve of the connection.
    """
    for warning in settings.warnings:
        if warning not in _logged_warnings:
            _logged_warnings.add(warning)
            log.warning(warning)
    return VectorizeClient(
        settings.credentials,
        limits=limits,
        retry=retry or settings.retry,
        reserve=settings.reserve if reserve is None else reserve,
        timeout=settings.timeout,
        verify=settings.verify,
    )


def build_monitor(settings: ConnectionSettings, index_name: str) -> IndexMonitor:
    """Build a monitor of an index, for sensors and triggers.

    A failed request is not retried, because the next check repeats it. The monitor may use the whole request budget,
    because the reserve exists for such checks. It does not wait for late markers, because a marker's ID is never
    used again.
    """
    limits = replace(LIMITS, late_seconds=0)
    return IndexMonitor(build_client(settings, limits=limits, retry=RetryPolicy(total=0), reserve=0), index_name)


def read_connection(connection: Any) -> ConnectionSettings:
    """Read and check all fields of an Airflow connection of the type ``vectorize``.

    Pass what a function returns, and keep no variable of it: Airflow's connection shows its password in its ``repr``,
    and Sentry and ``dag.test()`` of Airflow 3.0 show the local variables of each frame of a traceback.

    :raises ConfigError: A field is missing or wrong. The message names the field.
    """
    try:
        return _read_fields(connection)
    except ConfigError as error:
        message = error.message
    del connection
    raise ConfigError(message)  # not from the error above, whose frames have the fields


def _read_fields(connection: Any) -> ConnectionSettings:
    origin = f'the connection "{connection.conn_id}"'
    extra = _extra_fields(connection, origin)
    warnings = _unknown_field_warnings(extra, origin)
    base_url, scheme_assumed = _base_url(connection)
    try:
        credentials = Credentials(
            account_id=str(extra.get("account_id") or ""),
            secret=connection.password or "",
            email=connection.login or None,
            base_url=base_url,
            origin=origin,
        )
    except ConfigError as error:
        raise ConfigError(" ".join((error.message, *warnings))) from None
    if scheme_assumed:
        warnings = (*warnings, f"The API base URL of {origin} has no scheme, so {credentials.base_url} is used.")
    return ConnectionSettings(
        credentials,
        retry=RetryPolicy(total=_number(extra, "retry_seconds", 1_800.0, origin, most=604_800)),
        reserve=_number(extra, "budget_reserve", 0.2, origin, most=0.9),
        timeout=_number(extra, "timeout", 110.0, origin, least=1, most=3_600),
        verify=_verify(extra.get("verify"), origin),
        warnings=warnings,
    )


def _extra_fields(connection: Any, origin: str) -> Mapping[str, Any]:
    raw = connection.extra
    if raw in (None, ""):
        return {}
    try:
        value = json.loads(raw) if isinstance(raw, str) else raw
        encoded_twice = isinstance(value, str) and isinstance(json.loads(value), dict)
    except ValueError:
        raise ConfigError(f"The extra fields of {origin} are not JSON: {_json_error(raw)}.") from None
    if encoded_twice:
        raise ConfigError(f"The extra fields of {origin} are JSON inside a JSON string. Remove the outer quotes.")
    if not isinstance(value, dict):
        kind = "null" if value is None else type(value).__name__
        raise ConfigError(
            f'The extra fields of {origin} must be a JSON object such as {{"account_id": "…"}}, not {kind}.'
        )
    connection.extra_dejson  # noqa: B018 - reading it makes Airflow mask the secrets in the extra fields
    return value


def _json_error(text: str) -> str:
    """Return where the JSON is wrong, without quoting the text, which may hold a secret."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "the value is a string"


def _unknown_field_warnings(extra: Mapping[str, Any], origin: str) -> tuple[str, ...]:
    known = list(provider_info.CONN_FIELDS)
    warnings = []
    for name in extra:
        if name in known or name.startswith("__"):  # Airflow's own fields start with two underscores
            continue
        normalized = name.removeprefix("extra__vectorize__").lower().replace("-", "_").replace(" ", "_")
        similar = [normalized] if normalized in known else difflib.get_close_matches(normalized, known, n=1)
        suggestion = f'"{similar[0]}"' if similar else _STANDARD_FIELDS.get(normalized)
        hint = f"Did you mean {suggestion}?" if suggestion else f"The known fields are {', '.join(known)}."
        warnings.append(f'The extra field "{name[:40]}" of {origin} is unknown and is ignored. {hint}')
    return tuple(warnings)


def _base_url(connection: Any) -> tuple[str, bool]:
    """Return the API base URL, and whether it has the scheme https only because the connection names none.

    Airflow splits a connection URI, so the port and the path may arrive in the fields port and schema. A host without
    a path gets the path of Cloudflare's API. If the host is not Cloudflare's, a slash at the end means that the API
    is at the root of the host.
    """
    host, schema = (connection.host or "").strip(), (connection.schema or "").strip()
    if not host:
        return BASE_URL, False
    schema_is_scheme = schema.lower() in ("http", "https")
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = (schema.lower() if schema_is_scheme else "https"), host
    name, slash, path = rest.partition("/")
    if not slash and schema and not schema_is_scheme:
        slash, path = "/", schema
    default = urlsplit(BASE_URL)
    if name and (not slash or (name.lower() == default.netloc and not path.strip("/"))):
        slash, path = "", default.path
    url = f"{scheme}://{_with_port(name, connection.port)}{slash}{path}"
    return url, not (separator or schema_is_scheme)


def _with_port(name: str, port: int | None) -> str:
    user, at_sign, address = name.rpartition("@")
    if address.count(":") > 1 and not address.startswith("["):
        address = f"[{address}]"  # an IPv6 address
    if port and ":" not in address.rpartition("]")[2]:
        address += f":{port}"
    return f"{user}{at_sign}{address}"


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
        raise ConfigError(f"The extra field {name!r} of {origin} must be a number from {least:,g} to {most:,g}.")
    return number


def _verify(value: Any, origin: str) -> bool | str:
    text = "" if value is None else str(value).strip()
    if text.lower() in ("", "true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off"):
        return False
    if not isinstance(value, str) or not Path(text).exists():
        missing = f" The file {text!r} does not exist." if isinstance(value, str) else ""
        raise ConfigError(
            f"The extra field 'verify' of {origin} must be true, false, or the path of a CA bundle.{missing}"
        )
    return text
