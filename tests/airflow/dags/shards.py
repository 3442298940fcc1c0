"""A DAG that plans a load and loads its shards in mapped tasks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.plan import VectorizePlanLoadOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

with DAG("shards", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    plan = VectorizePlanLoadOperator(
        task_id="plan", index_name="books", source="{{ dag_run.conf['source'] }}", shards=4
    )
    load = VectorizeUpsertOperator.partial(
        task_id="load",
        index_name="books",
        max_in_flight=1,
        limits=Limits(vectors_per_request=10, late_seconds=0),
        retries=1,
        retry_delay=timedelta(0),
        map_index_template="{{ task.source[0].rpartition('/')[2] }} ({{ task.source | length }})",
    ).expand_kwargs(plan.output)
    VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True, poke_interval=0.05)
