"""Delete vectors after a person has approved it. Requires Airflow 3.1."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param
from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"

with DAG(
    dag_id="approved_delete",
    schedule=None,
    catchup=False,
    render_template_as_native_obj=True,  # the IDs stay a list
    params={"ids": Param(["page-1"], type="array", items={"type": "string"}, minItems=1)},
    tags=["vectorize"],
    doc_md=__doc__,
):
    approve = ApprovalOperator(
        task_id="approve",
        subject=f"Delete {{{{ params.ids | length }}}} vectors from the index {INDEX}?",
        body="{{ params.ids | join(', ') }}",
        defaults="Reject",  # without an answer in time, nothing is deleted
        response_timeout=timedelta(hours=20),
    )
    delete = VectorizeDeleteVectorsOperator(task_id="delete", index_name=INDEX, ids="{{ params.ids }}")
    wait = VectorizeMutationSensor(task_id="wait", mutation=delete.output, deferrable=True)

    approve >> delete
