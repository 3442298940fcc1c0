"""Build and test a table with dbt, and load it into an index.

The Variable ``dbt`` is the path of the command ``dbt``, in a virtual environment of its own. The Variable ``warehouse``
is a folder: dbt reads ``raw/*.parquet`` in it, and writes ``documents.parquet``.
"""

from __future__ import annotations

from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

INDEX = "docs"
PROJECT = Path(__file__).parent / "dbt_project"

with DAG(dag_id="dbt_upstream", schedule=None, catchup=False, tags=["vectorize"], doc_md=__doc__):

    @task.bash(
        env={
            "WAREHOUSE": "{{ var.value.get('warehouse', '/data/warehouse') }}",
            # The folder of the DAGs can be read-only.
            "DBT_TARGET_PATH": "{{ var.value.get('warehouse', '/data/warehouse') }}/target",
            "DBT_LOG_PATH": "{{ var.value.get('warehouse', '/data/warehouse') }}/logs",
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
        append_env=True,
    )
    def build() -> str:
        """Return the command, which also runs the data tests."""
        return f"{{{{ var.value.get('dbt', 'dbt') }}}} build --project-dir {PROJECT} --profiles-dir {PROJECT}"

    load = VectorizeUpsertOperator(
        task_id="load",
        index_name=INDEX,
        source="file://{{ var.value.get('warehouse', '/data/warehouse') }}/documents.parquet",
        fields={"id": "doc_id", "values": "embedding", "metadata": ["title"]},
    )
    wait = VectorizeMutationSensor(task_id="wait", mutation=load.output, deferrable=True)

    build() >> load
