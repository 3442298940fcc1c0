"""Every night: load what was embedded, wait until it can be queried, ask a question and check the answer.

The Airflow Variable ``embeddings`` says where the nights' folders are, for instance
``s3://my_aws_connection@my-bucket/embeddings``. A night's folder is named by its day (UTC), such as 2026-01-31,
and holds ndjson: one ``{"id": …, "values": […], "namespace": …, "metadata": {…}}`` a line, plain, .gz or .zst.
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
# Not {{ ds }}: it is undefined in runs without a logical date, and means the day before on Airflow 2.
NIGHT = "{{ params.night or (dag_run.data_interval_end or dag_run.run_after) | ds }}"

with DAG(
    dag_id="nightly_load",
    description="Load last night's embeddings into Vectorize and prove that they can be queried",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={"night": Param(None, type=["null", "string"], format="date", description="The night; empty for the last")},
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
        deferrable=True,  # waits in the triggerer and holds no worker
        timeout=timedelta(hours=1).total_seconds(),
    )

    # The question: what is nearest to a vector of this load? The receipt names a few.
    ask = VectorizeQueryOperator(
        task_id="ask",
        index_name=INDEX,
        vector_id="{{ ti.xcom_pull(task_ids='load')['samples'][0]['id'] }}",
        top_k=3,
        return_metadata="all",
    )

    @task
    def check(receipt: dict[str, Any], answer: dict[str, Any]) -> None:
        """The answer has to be that vector itself."""
        asked, found = receipt["samples"][0]["id"], [match["id"] for match in answer["matches"]]
        if asked not in found:
            raise ValueError(f"{asked} was loaded, but the index answers with {found}.")

    create_index >> load >> wait >> ask >> check(load.output, ask.output)
