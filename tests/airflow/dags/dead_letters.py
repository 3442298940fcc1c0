"""DAGs that write dead letters, with and without checkpoints, from an operator and from a function."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator

SOURCE = "{{ dag_run.conf['source'] }}"
DEAD_LETTERS: dict[str, Any] = {
    "on_bad_row": "dead_letter",
    "dead_letter_path": "{{ dag_run.conf['dead_letters'] }}",
    "retries": 1,
    "retry_delay": timedelta(0),
}

for durable in (True, False):
    with DAG(
        f"dead_letters_{'durable' if durable else 'not_durable'}",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
    ):
        VectorizeUpsertOperator(
            task_id="load",
            index_name="books",
            source=SOURCE,
            durable=durable,
            max_in_flight=1,
            limits=Limits(vectors_per_request=10, late_seconds=0),
            **DEAD_LETTERS,
        )

with DAG("dead_letters_of_a_function", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):

    @task(multiple_outputs=False)  # Airflow 3.0 cannot push keys without a value.
    def load(dag_run: Any = None) -> dict[str, Any]:
        """Load with a hook, which finds out the run from the context of the task."""
        conf = dag_run.conf
        hook = VectorizeHook(limits=Limits(late_seconds=0))  # a cleared task would wait for late requests
        return hook.load("books", conf["source"], on_bad_row="dead_letter", dead_letter_path=conf["dead_letters"])

    load()
