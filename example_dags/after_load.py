"""Two DAGs connected by an asset: one loads an index, the other starts after each load.

The asset is ``vectorize://<account id>/<index name>``. Its event carries the whole receipt of the load. Vectors become
visible some seconds to minutes after the event, so the second DAG waits first. The receipt names the incarnation of the
index and the last mutation, so the sensor waits for proof, as it does in the DAG of the load. ``loaded`` passes the
receipts on, and tasks after ``wait`` can use their sample vectors.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, Asset, Param, task

from airflow_provider_vectorize.assets import asset_uri
from airflow_provider_vectorize.events import index_events
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
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
    def loaded(**context: Any) -> list[dict[str, Any]]:
        """Return the receipts of the loads that started this run."""
        receipts = [dict(event.receipt) for event in index_events(context) if event.receipt]
        if not receipts:
            raise AirflowSkipException(
                "Skipped, because no event carries a receipt. The run or the event was created manually."
            )
        return receipts

    @task
    def check(receipts: list[dict[str, Any]]) -> list[str]:
        """Check that the sample vectors of the loads can be read, and return their IDs."""
        ids = list(dict.fromkeys(sample["id"] for receipt in receipts for sample in receipt["samples"]))
        found = {vector.id for vector in VectorizeHook().get_by_ids(INDEX, ids)}
        if missing := [vector_id for vector_id in ids if vector_id not in found]:
            raise ValueError(f"These vectors were loaded, and are not in the index: {missing}.")
        return ids

    receipts = loaded()
    wait = VectorizeMutationSensor(task_id="wait", mutation=receipts, deferrable=True)
    wait >> check(receipts)
