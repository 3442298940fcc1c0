"""Split a large source into shards for mapped tasks, which have their own retries and logs. One sensor waits for all.

The plan reports the estimated cost in its log and in XCom under ``summary``. It fails if the index has no room.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.plan import VectorizePlanLoadOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"

with DAG(
    dag_id="mapped_load",
    schedule=None,
    catchup=False,
    params={"source": Param("file:///data/embeddings/*.ndjson*", type="string", description="A file, URI or glob")},
    tags=["vectorize"],
    doc_md=__doc__,
):
    plan = VectorizePlanLoadOperator(
        task_id="plan",
        index_name=INDEX,
        source="{{ params.source }}",
        shards=16,
    )

    load = VectorizeUpsertOperator.partial(
        task_id="load",
        index_name=INDEX,
        max_active_tis_per_dagrun=4,
    ).expand_kwargs(plan.output)

    VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True)
