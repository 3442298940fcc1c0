"""A function yields rows, and the task loads them: no file in between, and nothing of them goes through XCom."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"
DIMENSIONS = 256


def embed(text: str) -> list[float]:
    """Stands for your model."""
    return [math.sin(sum(text.encode()) * (place + 1)) for place in range(DIMENSIONS)]


@dag(
    schedule=None,
    catchup=False,
    params={"pages": Param(30, type="integer", minimum=1, description="How many pages there are")},
    tags=["vectorize"],
    doc_md=__doc__,
)
def rows_load() -> None:
    """Embed pages and load them into an index that is there."""

    @task.vectorize_upsert(index_name=INDEX)
    def embedded_pages(params: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """One row a page, each forgotten before the next one is made."""
        for number in range((params or {})["pages"]):
            text = f"Page {number}"
            yield {"id": f"page-{number}", "values": embed(text), "metadata": {"text": text}}

    receipt = embedded_pages()
    VectorizeMutationSensor(task_id="wait", mutation=receipt, deferrable=True)


rows_load()
