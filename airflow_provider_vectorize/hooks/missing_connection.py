"""Explain why Airflow did not find a connection, without quoting its value, which holds the secret."""

from __future__ import annotations

import importlib
import json
import os
from urllib.parse import urlsplit

from airflow_provider_vectorize import provider_info
from airflow_provider_vectorize.errors import ConfigError

#: Fields of a connection in JSON.
_JSON_FIELDS = ("conn_type", "description", "host", "login", "password", "schema", "port", "extra")


def missing_connection(conn_id: str) -> ConfigError:
    """Return the error for a connection that Airflow did not find."""
    problem = environment_variable_problem(conn_id)
    if problem:
        return ConfigError(problem)
    if _cannot_read_database():
        return ConfigError(
            f'The connection "{conn_id}" does not exist in the environment variables or secrets backends of this '
            "process. Outside of a task, Airflow 3 does not read connections from its database. "
            f"Set the environment variable {_variable(conn_id)}, or run this code in a task."
        )
    return ConfigError(
        f'The connection "{conn_id}" does not exist. Create it in Airflow under Admin > Connections with the type '
        f'"{provider_info.HOOK_NAME}".'
    )


def environment_variable_problem(conn_id: str) -> str:
    """Return what is wrong with the environment variable of a connection, or an empty string."""
    text = os.environ.get(_variable(conn_id))
    problem = None if text is None else _connection_text_problem(text.strip())
    if not problem:
        return ""
    return (
        f"The environment variable {_variable(conn_id)} does not contain a connection: {problem}. Write it as JSON: "
        '{"conn_type": "vectorize", "password": "<token>", "extra": {"account_id": "<account id>"}}.'
    )


def _variable(conn_id: str) -> str:
    return f"AIRFLOW_CONN_{conn_id.upper()}"


def _connection_text_problem(text: str) -> str:
    if not text:
        return "it is empty"
    if text[0] in "{[\"'" or "://" not in text:
        return _json_problem(text)
    try:
        urlsplit(text).port  # noqa: B018 - raises ValueError if the port is not a number
    except ValueError:
        return "its host or port cannot be read. Percent-encode special characters of a URI"
    return ""


def _json_problem(text: str) -> str:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if text[0] not in "{[\"'":
            return "it is neither a JSON object nor a URI"
        return f"its JSON is wrong ({error.msg} at line {error.lineno}, column {error.colno})"
    if not isinstance(value, dict):
        return "its JSON is not an object"
    unknown = [name[:40] for name in value if name not in _JSON_FIELDS]
    if unknown:
        return f"the field {unknown[0]!r} is unknown. The known fields are {', '.join(_JSON_FIELDS)}"
    return "" if not value.get("port") or str(value["port"]).isdecimal() else "its port is not a number"


def _cannot_read_database() -> bool:
    """Check whether Airflow 3 hides its database from this process, as it does in a plain shell."""
    try:
        runner = importlib.import_module("airflow.sdk.execution_time.task_runner")
    except ImportError:  # Airflow 2 reads its database in every process
        return False
    in_task = getattr(runner, "SUPERVISOR_COMMS", None) is not None
    return not in_task and os.environ.get("_AIRFLOW_PROCESS_CONTEXT") != "server"
