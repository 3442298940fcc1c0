"""Embed texts with OpenAI, or a service with the same API, and load them into an index.

The connection ``openai`` has the API key as its password. Its host is empty, or the URL of another service with the
same API, such as ``https://api.cloudflare.com/client/v4/accounts/<account ID>/ai/v1``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook, dag, task

from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"
MODEL = "text-embedding-3-small"
DIMENSIONS = 768  # the model shortens its 1,536 dimensions, and Vectorize has at most 1,536
TEXTS_PER_REQUEST = 200


def texts() -> Iterator[tuple[str, str]]:
    """Yield the ID and the text of each page. Replace this function with your source."""
    for number in range(250):
        yield f"page-{number}", f"This is page {number}."


@dag(schedule=None, catchup=False, tags=["vectorize"], doc_md=__doc__)
def openai_embeddings() -> None:
    """Create the index, embed and load the texts, and wait until they can be queried."""
    create_index = VectorizeCreateIndexOperator(
        task_id="create_index", index_name=INDEX, dimensions=DIMENSIONS, metric="cosine"
    )

    @task.vectorize_upsert(index_name=INDEX)
    def load() -> Iterator[dict[str, Any]]:
        """Yield a row for each text. One batch of texts is in memory at a time."""
        from openai import OpenAI  # noqa: PLC0415 - imported in the task, so that Airflow parses the DAG quickly

        connection = BaseHook.get_connection("openai")
        client = OpenAI(api_key=connection.password, base_url=connection.host or None)
        remaining = texts()
        while batch := list(islice(remaining, TEXTS_PER_REQUEST)):
            answer = client.embeddings.create(
                model=MODEL, input=[text for _, text in batch], dimensions=DIMENSIONS, encoding_format="float"
            )
            for (page_id, text), item in zip(batch, answer.data, strict=True):
                yield {"id": page_id, "values": item.embedding, "metadata": {"text": text, "model": MODEL}}

    receipt = load()
    create_index >> receipt
    VectorizeMutationSensor(task_id="wait", mutation=receipt, deferrable=True)


openai_embeddings()
