"""Every night, load new embeddings, wait until they are visible, run a query and check its result.

The Airflow Variable ``embeddings`` contains the parent folder, for example
``s3://my_aws_connection@my-bucket/embeddings``. Each night has a folder named after its UTC date, such as 2026-01-31.
It contains ndjson objects, plain, .gz or .zst. Each line is a JSON object:
``{"id": …, "values": […], "namespace": …, "metadata": {…}}``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.query import VectorizeQueryOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"
EMBEDDINGS = "{{ var.value.get('embeddings', 'file:///data/embeddings') }}"
# {{ ds }} is undefined in runs without a logical date, and is the previous day on Airflow 2.
NIGHT = "{{ params.night or (dag_run.data_interval_end or dag_run.run_after) | ds }}"

with DAG(
    dag_id="nightly_load",
    description="Load last night's embeddings into Vectorize and check that queries find them",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "night": Param(None, type=["null", "string"], format="date", description="The night, by default the last one")
    },
    tags=["vectorize"],
    doc_md=__doc__,
):
    create_index = VectorizeCreateIndexOperator(
        task_id="create_index",
        index_name=INDEX,
        dimensions=256,
        metric="cosine",
    )

    load = VectorizeUpsertOperator(
        task_id="load",
        index_name=INDEX,
        source=f"{EMBEDDINGS}/{NIGHT}/*.ndjson*",
    )

    wait = VectorizeMutationSensor(
        task_id="wait",
        mutation=load.output,
        deferrable=True,  # waits in the triggerer and needs no worker
        timeout=timedelta(hours=1).total_seconds(),
    )

    # Query the neighbors of a vector of this load. The receipt names a few sample vectors.
    ask = VectorizeQueryOperator(
        task_id="ask",
        index_name=INDEX,
        vector_id="{{ ti.xcom_pull(task_ids='load')['samples'][0]['id'] }}",
        top_k=3,
        return_metadata="all",
    )

    @task
    def check(receipt: dict[str, Any], answer: dict[str, Any]) -> None:
        """Check that the query found the sample vector itself."""
        sample_id, match_ids = receipt["samples"][0]["id"], [match["id"] for match in answer["matches"]]
        if sample_id not in match_ids:
            raise ValueError(f"The query for the loaded vector {sample_id} did not find it. It found {match_ids}.")

    create_index >> load >> wait >> ask >> check(load.output, ask.output)
