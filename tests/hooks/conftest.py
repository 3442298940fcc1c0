"""Connections as Airflow hands them over: from the environment, where no database is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is in this folder imports Airflow."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.airflow)


@pytest.fixture
def connect(local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes a connection to the local Vectorize, otherwise where one says so, and returns its id."""

    def make(conn_id: str = "vectorize_default", *, extra: dict[str, Any] | None = None, **fields: Any) -> str:
        connection = local_vectorize.connection | fields
        connection["extra"] = {"retry_seconds": 0} | local_vectorize.connection["extra"] | (extra or {})
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return conn_id

    return make
