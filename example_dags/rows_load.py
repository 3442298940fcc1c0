"""Load the rows that a Python function yields. The rows do not go through XCom."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"
DIMENSIONS = 256


def embed(text: str) -> list[float]:
    """Return an embedding. Replace this function with your model."""
    return [math.sin(sum(text.encode()) * (position + 1)) for position in range(DIMENSIONS)]


@dag(
    schedule=None,
    catchup=False,
    params={"pages": Param(30, type="integer", minimum=1, description="Number of pages")},
    tags=["vectorize"],
    doc_md=__doc__,
)
def rows_load() -> None:
    """Embed pages and load them into an existing index."""

    @task.vectorize_upsert(index_name=INDEX)
    def embedded_pages(params: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Yield one row per page, so that only one row is in memory at a time."""
        for number in range((params or {})["pages"]):
            text = f"Page {number}"
            yield {"id": f"page-{number}", "values": embed(text), "metadata": {"text": text}}

    receipt = embedded_pages()
    VectorizeMutationSensor(task_id="wait", mutation=receipt, deferrable=True)


rows_load()
