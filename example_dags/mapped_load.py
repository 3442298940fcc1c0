"""One task an object: each has its own retries and its own log, and two run at a time. One sensor waits for all."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"

with DAG(
    dag_id="mapped_load",
    schedule=None,
    catchup=False,
    params={"folder": Param("file:///data/embeddings", type="string", description="The folder with the objects")},
    tags=["vectorize"],
    doc_md=__doc__,
):

    @task
    def objects(folder: str) -> list[str]:
        """The URIs of the objects to load."""
        return sorted(str(path) for path in ObjectStoragePath(folder).iterdir() if ".ndjson" in path.name)

    load = VectorizeUpsertOperator.partial(
        task_id="load",
        index_name=INDEX,
        max_active_tis_per_dagrun=2,
    ).expand(source=objects("{{ params.folder }}"))

    VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True)
