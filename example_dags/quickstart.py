"""A first load: load 40 embedded sentences and log the nearest neighbors of one of them.

The sentences are in ``quickstart.ndjson`` beside this file. The DAG only needs the connection ``vectorize_default``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.query import VectorizeQueryOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

log = logging.getLogger(__name__)

INDEX = "quickstart"
SENTENCES = Path(__file__).with_suffix(".ndjson").as_uri()

with DAG(
    dag_id="quickstart",
    description="A first load: 40 sentences and a query",
    schedule=None,
    catchup=False,
    params={
        "source": Param(SENTENCES, type="string", description="A file, URI or glob with one JSON vector per line"),
        "nearest_to": Param("retry", type="string", description="The id of a vector whose neighbors are queried"),
    },
    tags=["vectorize"],
    doc_md=__doc__,
):
    create_index = VectorizeCreateIndexOperator(
        task_id="create_index", index_name=INDEX, dimensions=64, metric="cosine"
    )
    load = VectorizeUpsertOperator(task_id="load", index_name=INDEX, source="{{ params.source }}")
    wait = VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True, poke_interval=2)
    ask = VectorizeQueryOperator(
        task_id="ask", index_name=INDEX, vector_id="{{ params.nearest_to }}", top_k=4, return_metadata="all"
    )

    @task
    def answer(result: dict[str, Any]) -> None:
        """Log the nearest sentences."""
        for match in result["matches"]:
            log.info("%.2f  %s", match["score"], match["metadata"]["text"])

    create_index >> load >> wait >> ask >> answer(ask.output)
