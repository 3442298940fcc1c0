"""An Airflow connection becomes a client. The only place that reads a connection's fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import BASE_URL, Credentials
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.visibility.monitor import IndexMonitor


def client_from(
    connection: Any, *, limits: Limits = LIMITS, retry: RetryPolicy | None = None, reserve: float | None = None
) -> VectorizeClient:
    """A client from an Airflow connection.

    :param connection: of the type ``vectorize``.
    :param retry: instead of the connection's own.
    :param reserve: instead of the connection's own.
    :raises ConfigError: a sentence that says which field to correct.
    """
    origin = f'the connection "{connection.conn_id}"'
    try:
        extra = connection.extra_dejson
    except (ValueError, TypeError) as error:
        raise ConfigError(f"The extra fields of {origin} are not JSON.") from error
    credentials = Credentials(
        account_id=str(extra.get("account_id") or ""),
        secret=connection.password or "",
        email=connection.login or None,
        base_url=_base_url(connection),
        origin=origin,
    )
    return VectorizeClient(
        credentials,
        limits=limits,
        retry=retry or RetryPolicy(total=_number(extra, "retry_seconds", 1_800.0, origin, most=604_800)),
        reserve=_number(extra, "budget_reserve", 0.2, origin, most=0.9) if reserve is None else reserve,
        timeout=_number(extra, "timeout", 110.0, origin, least=1, most=3_600),
        verify=_verify(extra.get("verify"), origin),
    )


def monitor_from(connection: Any, index_name: str) -> IndexMonitor:
    """Return a monitor of an index, for whoever waits.

    Each request is tried once, since the next check is the retry, and may use the whole budget, since waiting is what
    its reserve is for. A marker that was given up can do no harm, because its id is never used again.
    """
    limits = replace(LIMITS, late_seconds=0)
    return IndexMonitor(client_from(connection, limits=limits, retry=RetryPolicy(total=0), reserve=0), index_name)


def _base_url(connection: Any) -> str:
    """The host as it stands in the form; a connection given as a URI has its port, and what follows, apart."""
    host, schema = connection.host or "", connection.schema or ""
    if not host:
        return BASE_URL
    scheme, found, rest = host.partition("://")
    if not found:
        scheme, rest = (schema if schema in ("http", "https") else "https"), host
    name, slash, path = rest.partition("/")
    if connection.port and ":" not in name:
        name += f":{connection.port}"
    if not slash and schema not in ("", "http", "https"):
        slash, path = "/", schema  # the path of a URI arrives as the schema
    return f"{scheme}://{name}{slash}{path}"


def _number(
    extra: Mapping[str, Any], name: str, default: float, origin: str, *, least: float = 0, most: float
) -> float:
    value = extra.get(name)
    if value in (None, ""):
        return default
    try:
        number = float(cast("float | str", value))
    except (TypeError, ValueError):
        number = -1.0
    if not least <= number <= most:
        raise ConfigError(f"The extra field {name!r} of {origin} has to be a number from {least:,g} to {most:,g}.")
    return number


def _verify(value: Any, origin: str) -> bool | str:
    if isinstance(value, str) and value.strip().lower() not in ("", "true", "false", "1", "0"):
        if not Path(value).exists():
            raise ConfigError(
                f"The extra field 'verify' of {origin} has to be true, false, or the path of a bundle of certificates; "
                f"there is no {value!r}."
            )
        return value
    return str(value).strip().lower() not in ("false", "0")
