"""A DAG with a sync whose index is an asset."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Asset

from airflow_provider_vectorize.assets import asset_uri
from airflow_provider_vectorize.local.handle import ACCOUNT_ID
from airflow_provider_vectorize.operators.sync import VectorizeSyncOperator

with DAG("sync_an_asset", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    VectorizeSyncOperator(
        task_id="sync",
        index_name="books",
        source="{{ dag_run.conf['source'] }}",
        state="{{ dag_run.conf['state'] }}",
        delete_vanished=True,
        outlets=[Asset(asset_uri(ACCOUNT_ID, "books"))],
    )
