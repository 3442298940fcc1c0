"""Every week, rebuild an index beside the live one, check it, and then switch the readers over.

There are two slots, the indexes ``docs-a`` and ``docs-b``. A pointer says which one is live, and readers read it. The
rebuild goes into the idle slot. If a task fails, readers keep the live slot, and nothing else happens.

The pointer is the Airflow Variable ``docs_index`` here. Workers read Workers KV: set the Airflow Variable
``docs_pointer`` to ``kv://<namespace id>/docs``. The Variable ``corpus`` names the whole corpus, and ``checks`` names a
folder for what the load collects and for the report of the check. ``golden_queries`` names an object of queries whose
matches a person knows. Without them, the check cannot notice that a part of the corpus is missing.

Airflow 3.0 cannot run this DAG, because it cannot push to XCom that no index is live yet. All others can.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.check import VectorizeCheckOperator
from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.switch_over import VectorizePublishOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

SLOTS = ["docs-a", "docs-b"]
POINTER = "{{ var.value.get('docs_pointer', 'variable://docs_index') }}"
CORPUS = "{{ var.value.get('corpus', 'file:///data/corpus') }}"
CHECKS = "{{ var.value.get('checks', 'file:///data/checks') }}"
GOLDEN_QUERIES = "{{ var.value.get('golden_queries', '') }}"

with DAG(
    dag_id="rebuild",
    description="Rebuild the idle index, check it, and switch the readers over",
    schedule="0 3 * * 0",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # one publisher: Workers KV cannot compare and set
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["vectorize"],
    doc_md=__doc__,
):

    @task(multiple_outputs=True)
    def pick_slot(pointer: str) -> dict[str, Any]:
        """Return the idle slot as ``index_name``, and the index that readers use now as ``live``."""
        return VectorizeHook().pick_slot(pointer, SLOTS)

    slot = pick_slot(POINTER)

    create = VectorizeCreateIndexOperator(
        task_id="create",
        index_name=slot["index_name"],
        dimensions=256,
        metric="cosine",
        model="wordllama-256",
        like=slot["live"],  # the metadata indexes of the live index, before the first vector
        replace=True,
        pointer=POINTER,
        min_age=timedelta(hours=1),  # the time for a rollback, and for readers that see the pointer late
    )

    load = VectorizeUpsertOperator(
        task_id="load",
        index_name=slot["index_name"],
        source=f"{CORPUS}/*.ndjson*",
        created_on=create.output["created_on"],
        collect_checks=f"{CHECKS}/docs.json",
    )

    wait = VectorizeMutationSensor(
        task_id="wait",
        mutation=load.output,
        deferrable=True,
        timeout=timedelta(hours=1).total_seconds(),
    )

    check = VectorizeCheckOperator(
        task_id="check",
        index_name=slot["index_name"],
        receipt=load.output,  # with what the load collected
        queries=GOLDEN_QUERIES,
        report_path=f"{CHECKS}/docs.html",
    )

    publish = VectorizePublishOperator(
        task_id="publish",
        pointer=POINTER,
        index_name=slot["index_name"],
        expect=slot["live"],
        created_on=create.output["created_on"],
    )

    create >> load >> wait >> check >> publish
