"""One task a shard, and one sensor for all of them."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor


@task
def sources(dag_run: Any = None) -> list[str]:
    """The shards of this run."""
    return list(dag_run.conf["sources"])


with DAG(dag_id="shards", schedule=None):
    load = VectorizeUpsertOperator.partial(task_id="load", index_name="books").expand(source=sources())
    VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True, poke_interval=1)
