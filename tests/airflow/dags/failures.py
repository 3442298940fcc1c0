"""DAGs whose loads fail in the first attempt, and DAGs whose sensors time out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

SOURCE = "{{ dag_run.conf['source'] }}"
ONE_RETRY = {"retries": 1, "retry_delay": timedelta(0)}

for in_flight in (1, 4):
    for durable in (True, False):
        with DAG(
            f"load_{'durable' if durable else 'not_durable'}_{in_flight}",
            schedule=None,
            start_date=datetime(2026, 1, 1, tzinfo=UTC),
        ):
            VectorizeUpsertOperator(
                task_id="load",
                index_name="books",
                source=SOURCE,
                max_in_flight=in_flight,
                durable=durable,
                limits=Limits(vectors_per_request=10, late_seconds=0),
                **ONE_RETRY,
            )

LATE = Limits(late_seconds=1.5)
for durable in (True, False):
    with DAG(
        f"late_{'durable' if durable else 'not_durable'}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)
    ):
        VectorizeUpsertOperator(
            task_id="write", index_name="books", source=SOURCE, durable=durable, limits=LATE, **ONE_RETRY
        )

with DAG("late_deletion", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    VectorizeDeleteVectorsOperator(task_id="write", index_name="books", ids=["book-1"], limits=LATE, **ONE_RETRY)

with DAG("late_function", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):

    @task(task_id="write", **ONE_RETRY)
    def write() -> None:
        """Write with a hook that is not given the context of the task."""
        VectorizeHook(limits=LATE).delete_by_ids("books", ["book-1"])

    write()

for name, options in (("wait_in_vain", {}), ("wait_softly", {"soft_fail": True})):
    for mode in ("poke", "deferrable"):
        with DAG(f"{name}_{mode}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
            load = VectorizeUpsertOperator(task_id="load", index_name="books", source=SOURCE)
            VectorizeMutationSensor(
                task_id="wait",
                mutation=load.output,
                poke_interval=0.05,
                timeout=0.2,
                deferrable=mode == "deferrable",
                **options,
                **ONE_RETRY,
            )
