"""Embed texts with Workers AI, and load them into an index.

The connection ``workers_ai`` has the URL ``https://api.cloudflare.com/client/v4/accounts/<account ID>/ai`` as its host,
and an API token from the template *Workers AI* as its password.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import requests
from airflow.providers.common.compat.sdk import BaseHook, dag, task

from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"
MODEL = "@cf/baai/bge-base-en-v1.5"
DIMENSIONS = 768
TEXTS_PER_REQUEST = 100  # the maximum of this model


def texts() -> Iterator[tuple[str, str]]:
    """Yield the ID and the text of each page. Replace this function with your source."""
    for number in range(250):
        yield f"page-{number}", f"This is page {number}."


def embed(batch: list[str]) -> list[list[float]]:
    """Return the embedding of each text."""
    connection = BaseHook.get_connection("workers_ai")
    response = requests.post(
        f"{connection.host}/run/{MODEL}",
        headers={"Authorization": f"Bearer {connection.password}"},
        json={"text": batch},
        timeout=60,
    )
    response.raise_for_status()
    embeddings: list[list[float]] = response.json()["result"]["data"]
    return embeddings


@dag(schedule=None, catchup=False, tags=["vectorize"], doc_md=__doc__)
def workers_ai() -> None:
    """Create the index, embed and load the texts, and wait until they can be queried."""
    create_index = VectorizeCreateIndexOperator(
        task_id="create_index", index_name=INDEX, dimensions=DIMENSIONS, metric="cosine"
    )

    @task.vectorize_upsert(index_name=INDEX)
    def load() -> Iterator[dict[str, Any]]:
        """Yield a row for each text. One batch of texts is in memory at a time."""
        remaining = texts()
        while batch := list(islice(remaining, TEXTS_PER_REQUEST)):
            embeddings = embed([text for _, text in batch])
            for (page_id, text), values in zip(batch, embeddings, strict=True):
                yield {"id": page_id, "values": values, "metadata": {"text": text, "model": MODEL}}

    receipt = load()
    create_index >> receipt
    VectorizeMutationSensor(task_id="wait", mutation=receipt, deferrable=True)


workers_ai()
