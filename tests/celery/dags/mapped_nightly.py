"""Load a large source every night: split it among mapped tasks, and wait for all of them with one deferred sensor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.plan import VectorizePlanLoadOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"

with DAG(
    dag_id="mapped_nightly",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
    params={"source": "", "dimensions": 0},
):
    create = VectorizeCreateIndexOperator(
        task_id="create",
        index_name=INDEX,
        preset="@cf/baai/bge-base-en-v1.5",
    )
    plan = VectorizePlanLoadOperator(task_id="plan", index_name=INDEX, source="{{ params.source }}", shards=18)
    load = VectorizeUpsertOperator.partial(
        task_id="load",
        index_name=INDEX,
        max_in_flight=2,
        limits=Limits(
            vectors_per_request=500, late_seconds=5
        ),  # several batches per shard although the source is small
        map_index_template="{{ task.source[0].rpartition('/')[2] }} ({{ task.source | length }})",
    ).expand_kwargs(plan.output)
    wait = VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True, poke_interval=2)

    create >> plan
    load >> wait
