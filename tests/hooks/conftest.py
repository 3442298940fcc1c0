"""Fixtures for tests of the hook. Connections come from environment variables, so no database is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize


@pytest.fixture
def connect(local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that defines a connection to the local Vectorize and returns its ID.

    Its keyword arguments replace fields of the connection.
    """

    def define(conn_id: str = "vectorize_default", *, extra: dict[str, Any] | None = None, **fields: Any) -> str:
        connection = local_vectorize.connection | fields
        connection["extra"] = {"retry_seconds": 0} | local_vectorize.connection["extra"] | (extra or {})
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return conn_id

    return define
