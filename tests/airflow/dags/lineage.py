"""A DAG with a load whose index is an asset."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Asset

from airflow_provider_vectorize.assets import asset_uri
from airflow_provider_vectorize.local.handle import ACCOUNT_ID
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator

with DAG("load_an_asset", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    VectorizeUpsertOperator(
        task_id="load",
        index_name="books",
        source="{{ dag_run.conf['source'] }}",
        outlets=[Asset(asset_uri(ACCOUNT_ID, "books")), Asset("file:///elsewhere")],
    )
