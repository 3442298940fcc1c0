"""DAGs whose tasks call the hook and have the provider's retry policy, on Airflow 3.3 and newer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.retries import retry_policy

policy: dict[str, Any]
try:
    policy = {"retry_policy": retry_policy()}
except ConfigError:
    policy = {}

if policy:
    with DAG(
        "hook_with_retry_policy",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        default_args={"retries": 2, "retry_delay": timedelta(0), **policy},
    ):

        @task
        def count(dag_run: Any = None) -> int:
            """Return the number of vectors of an index."""
            return VectorizeHook().get_index_info(dag_run.conf["index"]).vector_count

        count()
