"""Use the hook in TaskFlow: load a file, wait until it is visible, and query the neighbors of a loaded vector."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"


@dag(
    schedule=None,
    catchup=False,
    params={"source": Param("file:///data/embeddings.ndjson", type="string", description="A file, URI or glob")},
    tags=["vectorize"],
    doc_md=__doc__,
)
def taskflow_load() -> None:
    """Load a file into an existing index, wait, and query it."""

    @task(multiple_outputs=False)  # Airflow 3.0 cannot push keys without a value.
    def load(source: str) -> dict[str, Any]:
        """Load the file, and return the receipt to XCom."""
        return VectorizeHook().load(INDEX, source, operation="upsert")

    @task
    def neighbors(receipt: dict[str, Any]) -> list[str]:
        """Return the IDs of the five nearest vectors."""
        sample_id = receipt["samples"][0]["id"]
        return [match.id for match in VectorizeHook().query(INDEX, vector_id=sample_id, top_k=5).matches]

    receipt = load("{{ params.source }}")
    wait = VectorizeMutationSensor(task_id="wait", mutation=receipt, deferrable=True)
    wait >> neighbors(receipt)


taskflow_load()
