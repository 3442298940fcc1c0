"""Receipts travel by XCom in every way there is, and a sensor waits for them in each of its modes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.load import VectorizeInsertOperator, VectorizeUpsertOperator
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor


@task
def delete_pages() -> list[Any]:
    """What the hook returns for several requests."""
    return VectorizeHook().delete_by_ids("books", [f"book-{number}" for number in range(250)])


@task
def delete_nothing() -> list[Any]:
    """Nothing was out of date tonight."""
    return VectorizeHook().delete_by_ids("books", [])


@task
def upsert_one() -> Any:
    """What the hook returns for one request."""
    return VectorizeHook().upsert("books", [{"id": "hook", "values": [1.0] * 32}])


WAYS: dict[str, dict[str, Any]] = {
    "poke": {"deferrable": False},
    "reschedule": {"deferrable": False, "mode": "reschedule"},
    "deferrable": {"deferrable": True},
}
SOURCE = "{{ dag_run.conf['source'] }}"


@task
def take(mutation_id: str) -> str:
    """A user's own task, with the id of the mutation alone."""
    return f"took {mutation_id}"


@task
def sources(dag_run: Any = None) -> list[str]:
    """What a user's own task finds in storage."""
    return list(dag_run.conf["sources"])


for way, options in WAYS.items():
    wait: dict[str, Any] = {"task_id": "wait", "poke_interval": 0.05, "timeout": 60, **options}

    with DAG(f"upsert_then_wait_{way}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        load = VectorizeUpsertOperator(task_id="load", index_name="books", source=SOURCE)
        VectorizeMutationSensor(mutation=load.output, **wait)
        take(load.output["mutation_id"])

    with DAG(f"insert_then_upsert_{way}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        insert = VectorizeInsertOperator(task_id="insert", index_name="books", source=SOURCE)
        upsert = VectorizeUpsertOperator(
            task_id="upsert", index_name="books", source="{{ dag_run.conf['second'] }}", limits=Limits()
        )
        insert >> upsert
        VectorizeMutationSensor(mutation=[insert.output, upsert.output], **wait)

    with DAG(f"mapped_loads_{way}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        loads = VectorizeUpsertOperator.partial(task_id="load", index_name="books").expand(source=sources())
        VectorizeMutationSensor(mutation=loads.output, **wait)

for way in ("poke", "deferrable"):
    wait = {"poke_interval": 0.05, "timeout": 60, **WAYS[way]}

    with DAG(f"hook_writes_{way}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        VectorizeMutationSensor(task_id="wait_for_deletion", mutation=delete_pages(), **wait)
        VectorizeMutationSensor(task_id="wait_for_nothing", mutation=delete_nothing(), **wait)
        VectorizeMutationSensor(task_id="wait_for_upsert", mutation=upsert_one(), **wait)

    with DAG(f"mapped_sensors_{way}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        loads = VectorizeUpsertOperator.partial(task_id="load", index_name="books").expand(source=sources())
        VectorizeMutationSensor.partial(task_id="wait", **wait).expand(mutation=loads.output)

    with DAG(f"bare_ids_{way}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        load = VectorizeUpsertOperator(task_id="load", index_name="books", source=SOURCE)
        VectorizeMutationSensor(task_id="one", mutation=load.output["mutation_id"], index_name="books", **wait)
        VectorizeMutationSensor(task_id="several", mutation=load.output["mutation_ids"], index_name="books", **wait)
