"""Load each shard with its own mapped task, and wait for all of them with one sensor."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor


@task
def sources(dag_run: Any = None) -> list[str]:
    """Return the shards of this run."""
    return list(dag_run.conf["sources"])


with DAG(dag_id="shards", schedule=None):
    load = VectorizeUpsertOperator.partial(task_id="load", index_name="books").expand(source=sources())
    VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True, poke_interval=1)
