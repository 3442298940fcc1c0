"""Loads with dead letters, with and without a checkpoint, mapped and in a function."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator

SOURCE = "{{ dag_run.conf['source'] }}"
LETTERS: dict[str, Any] = {
    "on_bad_row": "dead_letter",
    "dead_letter_path": "{{ dag_run.conf['letters'] }}",
    "retries": 1,
    "retry_delay": timedelta(0),
}

for durable in (True, False):
    with DAG(
        f"letters_{'durable' if durable else 'forgetful'}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)
    ):
        VectorizeUpsertOperator(
            task_id="load",
            index_name="books",
            source=SOURCE,
            durable=durable,
            max_in_flight=1,
            limits=Limits(vectors_per_request=10, late_seconds=0),
            **LETTERS,
        )

with DAG("letters_of_a_function", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):

    @task
    def load(dag_run: Any = None) -> dict[str, Any]:
        """The hook finds out by itself which run this is."""
        conf = dag_run.conf
        hook = VectorizeHook(limits=Limits(late_seconds=0))  # a cleared task would wait for late requests
        return hook.load("books", conf["source"], on_bad_row="dead_letter", dead_letter_path=conf["letters"])

    load()
