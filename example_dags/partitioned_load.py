"""Load one partition per night, and process it downstream by the same key. Requires Airflow 3.2.

Each run has a partition key, which is its night, such as 2026-01-31. Its name is that of the folder to load. To load
another night, start a run with its key: Airflow's form and ``POST …/dagRuns`` have the field ``partition_key``. The
second DAG runs once per key, after the load of that key.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Asset, CronPartitionTimetable, PartitionedAssetTimetable, task

from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"
EMBEDDINGS = "{{ var.value.get('embeddings', 'file:///data/embeddings') }}"
#: The name of this asset is not that of the index, so that other loads of the index do not start the second DAG.
NIGHT = Asset(name="night_of_docs")

with DAG(
    dag_id="partitioned_load",
    schedule=CronPartitionTimetable("0 2 * * *", timezone="UTC", key_format="%Y-%m-%d"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["vectorize"],
    doc_md=__doc__,
):
    load = VectorizeUpsertOperator(
        task_id="load",
        index_name=INDEX,
        source=f"{EMBEDDINGS}/{{{{ partition_key }}}}/*.ndjson*",
    )
    wait = VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True, outlets=[NIGHT])

with DAG(
    dag_id="after_partition",
    schedule=PartitionedAssetTimetable(assets=NIGHT),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["vectorize"],
    doc_md=__doc__,
):

    @task
    def report(partition_key: str | None = None) -> str:
        """Return the night that can be queried now."""
        return f"The vectors of {partition_key} can be queried."

    report()
