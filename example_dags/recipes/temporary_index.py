"""Try new embeddings in an index that exists only during the run. Requires Airflow 3.0."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator, VectorizeDeleteIndexOperator
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.query import VectorizeQueryOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

# A name of its own for each run, so that two runs at once do not share an index.
INDEX = "trial-{{ dag_run.run_after.strftime('%Y%m%d-%H%M%S-%f') }}"

with DAG(
    dag_id="temporary_index",
    schedule=None,
    catchup=False,
    params={
        "source": Param("file:///data/embeddings.ndjson", type="string"),
        "ask": Param("doc-1", type="string", description="ID of a vector"),
        "expect": Param("doc-2", type="string", description="ID that must be among its five nearest neighbors"),
    },
    tags=["vectorize"],
    doc_md=__doc__,
):
    create = VectorizeCreateIndexOperator(task_id="create", index_name=INDEX, dimensions=256, metric="cosine")
    load = VectorizeUpsertOperator(task_id="load", index_name=INDEX, source="{{ params.source }}")
    wait = VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True)
    ask = VectorizeQueryOperator(task_id="ask", index_name=INDEX, vector_id="{{ params.ask }}", top_k=6)
    delete = VectorizeDeleteIndexOperator(task_id="delete", index_name=INDEX)

    @task
    def compare(answer: dict[str, Any], params: dict[str, Any] | None = None) -> None:
        """Fail if the expected neighbor is missing."""
        found = [match["id"] for match in answer["matches"]]
        if (params or {})["expect"] not in found:
            raise ValueError(f"The nearest neighbors are {found}.")

    create.as_setup() >> load >> wait >> ask >> compare(ask.output) >> delete.as_teardown(setups=create)
