"""Load a folder of Parquet that Spark wrote, and wait until its vectors are visible.

The columns have names of their own: ``fields`` says which of them become the ID, the values and the metadata. Markers
and checksums in the folder (``_SUCCESS``, ``.crc``) are skipped. Requires the extra ``parquet``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

with DAG(
    dag_id="parquet_load",
    schedule=None,
    catchup=False,
    params={"source": Param("file:///data/embeddings/", type="string", description="A folder that ends in a slash")},
    tags=["vectorize"],
    doc_md=__doc__,
):
    load = VectorizeUpsertOperator(
        task_id="load",
        index_name="docs",
        source="{{ params.source }}",
        fields={"id": "doc_id", "values": "embedding", "metadata": {"title": "title", "url": "page.url"}},
    )

    VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True)
