"""Metadata of the provider for Airflow, and the connection form for every supported version of Airflow."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

CONNECTION_TYPE = "vectorize"
HOOK_NAME = "Cloudflare Vectorize"

#: These versions send port 0 for a connection without a port, and then refuse to test it, because 0 differs from the
#: stored value (apache/airflow#73298). Storing 0 is the workaround, so the form shows the port in these versions.
_VERSIONS_THAT_NEED_A_PORT = ("3.3.1", "3.3.2")


def _airflow_version() -> str:
    try:
        return version("apache-airflow-core")
    except PackageNotFoundError:  # Airflow 2 is a single distribution
        return version("apache-airflow")


def _field_behaviour(airflow_version: str) -> dict[str, Any]:
    behaviour: dict[str, Any] = {
        "hidden-fields": ["schema", "port"],
        "relabeling": {"host": "API base URL", "login": "E-mail", "password": "API token"},
        "placeholders": {
            "host": "https://api.cloudflare.com/client/v4",
            "login": "only with a Global API key, otherwise empty",
            "password": "with the permission Vectorize: Edit",
        },
    }
    if airflow_version in _VERSIONS_THAT_NEED_A_PORT:
        behaviour["hidden-fields"].remove("port")
        behaviour["placeholders"]["port"] = f"enter 0, or Airflow {airflow_version} cannot test the connection"
    return behaviour


#: Airflow's own fields of a connection, as they appear in the form.
UI_FIELD_BEHAVIOUR = _field_behaviour(_airflow_version())

#: Extra fields of the connection. The form requires a field whose type does not include null.
CONN_FIELDS: dict[str, dict[str, Any]] = {
    "account_id": {
        "label": "Account ID",
        "description": "The 32 hexadecimal digits in the URL of the dashboard: dash.cloudflare.com/<account id>.",
        "schema": {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"},
    },
    "timeout": {
        "label": "Timeout (seconds)",
        "description": "Seconds without progress before a request counts as failed. Default: 110.",
        "schema": {"type": ["number", "null"], "minimum": 1},
    },
    "retry_seconds": {
        "label": "Retry for (seconds)",
        "description": "Seconds to keep retrying a failed request. Default: 1800 (a rate-limit block lasts 300).",
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
    "budget_reserve": {
        "label": "Budget reserve (0 to 0.9)",
        "description": "Share of the account's 1,200 requests in 5 minutes to leave for other clients. Default: 0.2.",
        "schema": {"type": ["number", "null"], "minimum": 0, "maximum": 0.9},
    },
    "verify": {
        "label": "Verify TLS",
        "description": "Verify the server's TLS certificate.",
        "schema": {"type": ["boolean", "null"], "default": True},
    },
}

_PACKAGE = "airflow_provider_vectorize"
_ASSETS = {
    "schemes": ["vectorize"],
    "handler": f"{_PACKAGE}.assets.sanitize_uri",
    "factory": f"{_PACKAGE}.assets.create_asset",
    "to_openlineage_converter": f"{_PACKAGE}.assets.convert_asset_to_openlineage",
}


def get_provider_info() -> dict[str, Any]:
    """Return the metadata of the provider. Airflow finds it by the entry point ``apache_airflow_provider``."""
    return {
        "package-name": "airflow-provider-vectorize",
        "name": HOOK_NAME,
        "description": "`Cloudflare Vectorize <https://developers.cloudflare.com/vectorize/>`__",
        "integrations": [
            {
                "integration-name": HOOK_NAME,
                "external-doc-url": "https://developers.cloudflare.com/vectorize/",
                "tags": ["service"],
            }
        ],
        "hooks": [_modules("hooks.vectorize")],
        "operators": [
            _modules(
                "operators.load",
                "operators.sync",
                "operators.check",
                "operators.plan",
                "operators.index",
                "operators.switch_over",
                "operators.metadata_index",
                "operators.vectors",
                "operators.query",
            )
        ],
        "sensors": [_modules("sensors.mutation")],
        "triggers": [_modules("triggers.index", "triggers.mutation")],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{_PACKAGE}.hooks.vectorize.VectorizeHook",
                "hook-name": HOOK_NAME,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONN_FIELDS,
            }
        ],
        "extra-links": [
            f"{_PACKAGE}.links.load.VectorizeIndexLink",
            f"{_PACKAGE}.links.load.VectorizeDeadLetterLink",
            f"{_PACKAGE}.links.load.VectorizeSyncStateLink",
            f"{_PACKAGE}.links.load.VectorizeReportLink",
        ],
        "task-decorators": [
            {"name": "vectorize_upsert", "class-name": f"{_PACKAGE}.decorators.load.vectorize_upsert_task"}
        ],
        "asset-uris": [_ASSETS],
        "dataset-uris": [_ASSETS],  # the name of the key in Airflow 2
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": HOOK_NAME, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}
