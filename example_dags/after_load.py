"""Two DAGs connected by an asset: one loads an index, the other starts after each load.

The asset is ``vectorize://<account id>/<index name>``. Its event carries the receipt of the load. Vectors become
visible some seconds to minutes after the event, so the second DAG waits first.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, Asset, Param, task

from airflow_provider_vectorize.assets import asset_uri
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"
ACCOUNT_ID = os.environ.get("CLOUDFLARE_ACCOUNT_ID", "0" * 32)
DOCS = Asset(asset_uri(ACCOUNT_ID, INDEX))

with DAG(
    dag_id="load_docs",
    schedule=None,
    catchup=False,
    params={"source": Param("file:///data/embeddings.ndjson", type="string", description="A file, URI or glob")},
    tags=["vectorize"],
    doc_md=__doc__,
):
    VectorizeUpsertOperator(task_id="load", index_name=INDEX, source="{{ params.source }}", outlets=[DOCS])

with DAG(
    dag_id="after_load",
    schedule=[DOCS],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["vectorize"],
    doc_md=__doc__,
):

    @task
    def loaded(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        """Return the receipts of the loads that started this run."""
        events = [event for asset_events in (triggering_asset_events or {}).values() for event in asset_events]
        receipts = [dict(event.extra) for event in events if "mutation_id" in event.extra]
        if not receipts:
            raise AirflowSkipException(
                "Skipped, because no event carries a receipt. The run or the event was created manually."
            )
        return receipts

    VectorizeMutationSensor(task_id="wait", mutation=loaded(), deferrable=True)
