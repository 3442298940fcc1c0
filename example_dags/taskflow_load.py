"""The hook in TaskFlow: load a file, wait until it can be queried, look up the neighbours of a vector of it."""

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
    """Load a file into an index that is there."""

    @task
    def load(source: str) -> dict[str, Any]:
        """The receipt goes to XCom."""
        return VectorizeHook().load(INDEX, source, operation="upsert")

    @task
    def neighbours(receipt: dict[str, Any]) -> list[str]:
        """The ids of the nearest five."""
        known = receipt["samples"][0]["id"]
        return [match.id for match in VectorizeHook().query(INDEX, vector_id=known, top_k=5).matches]

    receipt = load("{{ params.source }}")
    wait = VectorizeMutationSensor(task_id="wait", mutation=receipt, deferrable=True)
    wait >> neighbours(receipt)


taskflow_load()
