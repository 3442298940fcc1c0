"""Every night, make an index equal to the embeddings in a folder, and ask a person before many vectors are deleted.

The Airflow Variable ``corpus`` contains the folder with the whole corpus, for example
``s3://my_aws_connection@my-bucket/embeddings``, as ndjson objects, plain, .gz or .zst. The Variable ``sync_state``
contains a folder that belongs to this sync alone, for example ``s3://my_aws_connection@my-bucket/vectorize-state/docs``.

The sync sends the rows that changed and deletes the vectors that left the corpus. If more than a tenth of the vectors
left, the task ``sync`` fails, and the task ``approve`` shows their number, some of their IDs and where all of them are.
Its answer decides: after *Approve* the task ``sync_approved`` deletes exactly these vectors. After *Reject* the run
fails, nothing is deleted, and the next night asks again. Approvals came with Airflow 3.1. On older versions, run the
DAG with the plan ID from the log of ``sync`` as the parameter ``plan``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowOptionalProviderFeatureException,
    Param,
    get_current_context,
    task,
)

from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator
from airflow_provider_vectorize.operators.sync import VectorizeSyncOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
except (ImportError, AirflowOptionalProviderFeatureException):  # before Airflow 3.1
    ApprovalOperator = None

INDEX = "docs"
SYNC = {
    "index_name": INDEX,
    "source": "{{ var.value.get('corpus', 'file:///data/embeddings') }}/*.ndjson*",
    "state": "{{ var.value.get('sync_state', 'file:///data/vectorize-state/docs') }}",
    "delete_vanished": True,
    "max_deletes": 0.1,
}

with DAG(
    dag_id="nightly_sync",
    description="Send what changed in a corpus to Vectorize, delete what left it, and check the result",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "plan": Param(None, type=["null", "string"], description="ID of a plan to approve, from the log of a sync")
    },
    tags=["vectorize"],
    doc_md=__doc__,
):
    create_index = VectorizeCreateIndexOperator(
        task_id="create_index",
        index_name=INDEX,
        dimensions=256,
        metric="cosine",
    )

    sync = VectorizeSyncOperator(task_id="sync", approve="{{ params.plan or '' }}", **SYNC)

    @task(trigger_rule="one_success", multiple_outputs=False)  # Airflow 3.0 cannot push keys without a value.
    def receipt() -> dict[str, Any]:
        """Return the result of the sync that succeeded."""
        ti = get_current_context()["ti"]
        result: dict[str, Any] = ti.xcom_pull(task_ids="sync_approved") or ti.xcom_pull(task_ids="sync")
        return result

    finished = receipt()

    wait = VectorizeMutationSensor(
        task_id="wait",
        mutation=finished,
        deferrable=True,  # waits in the triggerer and needs no worker
        timeout=timedelta(hours=1).total_seconds(),
    )

    @task
    def check(result: dict[str, Any]) -> None:
        """Check that the index has at least the vectors of the corpus. Other writers may have more in it."""
        expected = result["added"] + result["changed"] + result["unchanged"]
        count = VectorizeHook().get_index_info(INDEX).vector_count
        if count < expected:
            raise ValueError(f"The corpus has {expected:,} vectors, but the index has only {count:,}.")

    create_index >> sync >> finished >> wait >> check(finished)

    if ApprovalOperator:

        @task.short_circuit(trigger_rule="one_failed", ignore_downstream_trigger_rules=False)
        def has_plan() -> bool:
            """Continue if the sync has failed with a plan that a person can approve."""
            return bool(get_current_context()["ti"].xcom_pull(task_ids="sync", key="plan"))

        approve = ApprovalOperator(
            task_id="approve",
            subject="Nightly sync: carry out plan {{ ti.xcom_pull(task_ids='sync', key='plan') }}?",
            body="{{ ti.xcom_pull(task_ids='sync', key='problem') }}",
            defaults="Reject",
            response_timeout=timedelta(hours=20),
        )

        sync_approved = VectorizeSyncOperator(
            task_id="sync_approved",
            approve="{{ ti.xcom_pull(task_ids='sync', key='plan') }}",
            **SYNC,
        )

        sync >> has_plan() >> approve >> sync_approved >> finished
