"""What Airflow asks of a provider. The connection form is described here once, for every version of Airflow."""

from __future__ import annotations

from typing import Any

CONNECTION_TYPE = "vectorize"
HOOK_NAME = "Cloudflare Vectorize"

#: Airflow's own fields of a connection, as they appear in the form.
UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "port"],
    "relabeling": {
        "password": "API token",
        "host": "API base URL",
        "login": "E-mail (only with a Global API key)",
    },
    "placeholders": {
        "password": "API token with the permission Vectorize: Edit",
        "host": "https://api.cloudflare.com/client/v4",
        "login": "leave empty for an API token",
    },
}

#: Further fields, kept in the connection's extra.
CONN_FIELDS: dict[str, dict[str, Any]] = {
    "account_id": {
        "label": "Account ID",
        "description": "The 32 characters in the dashboard's address: dash.cloudflare.com/<account id>.",
        "schema": {"type": ["string", "null"], "pattern": "^[0-9a-fA-F]{32}$"},
    },
    "timeout": {
        "label": "Timeout (seconds)",
        "description": "A request counts as failed when nothing came for so long. Default: 60.",
        "schema": {"type": ["number", "null"], "minimum": 1},
    },
    "retry_seconds": {
        "label": "Retry for (seconds)",
        "description": "How long a request is tried again. Default: 1800; a rate limit alone blocks for 300.",
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
    "budget_reserve": {
        "label": "Budget reserve (0 to 1)",
        "description": "Share of the account's 1,200 requests in 5 minutes that is left to people. Default: 0.2.",
        "schema": {"type": ["number", "null"], "minimum": 0, "maximum": 0.9},
    },
    "verify": {
        "label": "Verify TLS",
        "description": "Whether the server's certificate is checked. Default: yes.",
        "schema": {"type": ["boolean", "null"], "default": True},
    },
}

_PACKAGE = "airflow_provider_vectorize"


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, found by the entry point ``apache_airflow_provider``."""
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
                "operators.index",
                "operators.metadata_index",
                "operators.vectors",
                "operators.query",
            )
        ],
        "sensors": [_modules("sensors.mutation")],
        "triggers": [_modules("triggers.mutation")],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{_PACKAGE}.hooks.vectorize.VectorizeHook",
                "hook-name": HOOK_NAME,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONN_FIELDS,
            }
        ],
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": HOOK_NAME, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}
