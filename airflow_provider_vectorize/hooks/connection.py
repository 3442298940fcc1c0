"""An Airflow connection becomes a client. The only place that reads a connection's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import BASE_URL, Credentials
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ConfigError


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
        retry=retry or RetryPolicy(total=_number(extra, "retry_seconds", 1_800.0, origin)),
        reserve=_number(extra, "budget_reserve", 0.2, origin, most=0.9) if reserve is None else reserve,
        timeout=_number(extra, "timeout", 60.0, origin, least=1),
        verify=_verify(extra.get("verify")),
    )


def _base_url(connection: Any) -> str:
    """The host as it stands in the form; a connection given as a URI has scheme and port apart."""
    host = connection.host or ""
    if host and "://" not in host:
        schema = connection.schema if connection.schema in ("http", "https") else "https"
        port = f":{connection.port}" if connection.port else ""
        name, slash, path = host.partition("/")
        host = f"{schema}://{name}{port}{slash}{path}"
    return host or BASE_URL


def _number(
    extra: Mapping[str, Any], name: str, default: float, origin: str, *, least: float = 0, most: float = float("inf")
) -> float:
    value = extra.get(name)
    if value in (None, ""):
        return default
    try:
        number = float(cast("float | str", value))
    except (TypeError, ValueError):
        number = -1.0
    if not least <= number <= most:
        raise ConfigError(f"The extra field {name!r} of {origin} has to be a number from {least} to {most}.")
    return number


def _verify(value: Any) -> bool | str:
    if isinstance(value, str) and value.strip().lower() not in ("", "true", "false", "1", "0"):
        return value  # the path of a bundle of authorities
    return str(value).strip().lower() not in ("false", "0")
