"""Send an e-mail if the vectors of tonight cannot be queried by 06:00. Requires Airflow 3.1."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"

with DAG(
    dag_id="queryable_by_six",
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,  # 03:00
        interval=timedelta(hours=3),
        callback=AsyncCallback(
            SmtpNotifier,
            {
                "from_email": "airflow@example.com",
                "to": "on-call@example.com",
                "subject": f"The vectors of index {INDEX} are late",
                "html_content": "The DAG queryable_by_six has not finished by 06:00 UTC. Look at its tasks.",
            },
        ),
    ),
    tags=["vectorize"],
    doc_md=__doc__,
):
    load = VectorizeUpsertOperator(
        task_id="load",
        index_name=INDEX,
        source="{{ var.value.get('embeddings', 'file:///data/embeddings') }}/*.ndjson*",
    )
    VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True)
