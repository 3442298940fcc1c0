"""DAGs that pass receipts through XCom in every way, with a sensor in each of its modes."""

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
    """Return the mutations of several requests."""
    return VectorizeHook().delete_by_ids("books", [f"book-{number}" for number in range(250)])


@task
def delete_nothing() -> list[Any]:
    """Return an empty list of mutations."""
    return VectorizeHook().delete_by_ids("books", [])


@task
def upsert_one() -> Any:
    """Return the mutation of one request."""
    return VectorizeHook().upsert("books", [{"id": "hook", "values": [1.0] * 32}])


MODES: dict[str, dict[str, Any]] = {
    "poke": {"deferrable": False},
    "reschedule": {"deferrable": False, "mode": "reschedule"},
    "deferrable": {"deferrable": True},
}
SOURCE = "{{ dag_run.conf['source'] }}"


@task
def receive(mutation_id: str) -> str:
    """Receive only the mutation ID, as a task of the user would."""
    return f"received {mutation_id}"


@task
def sources(dag_run: Any = None) -> list[str]:
    """Return the sources to load, as a task of the user would."""
    return list(dag_run.conf["sources"])


for mode, options in MODES.items():
    wait: dict[str, Any] = {"task_id": "wait", "poke_interval": 0.05, "timeout": 60, **options}

    with DAG(f"upsert_then_wait_{mode}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        load = VectorizeUpsertOperator(task_id="load", index_name="books", source=SOURCE)
        VectorizeMutationSensor(mutation=load.output, **wait)
        receive(load.output["mutation_id"])

    with DAG(f"insert_then_upsert_{mode}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        insert = VectorizeInsertOperator(task_id="insert", index_name="books", source=SOURCE)
        upsert = VectorizeUpsertOperator(
            task_id="upsert", index_name="books", source="{{ dag_run.conf['second'] }}", limits=Limits()
        )
        insert >> upsert
        VectorizeMutationSensor(mutation=[insert.output, upsert.output], **wait)

    with DAG(f"mapped_loads_{mode}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        loads = VectorizeUpsertOperator.partial(task_id="load", index_name="books").expand(source=sources())
        VectorizeMutationSensor(mutation=loads.output, **wait)

for mode in ("poke", "deferrable"):
    wait = {"poke_interval": 0.05, "timeout": 60, **MODES[mode]}

    with DAG(f"hook_writes_{mode}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        VectorizeMutationSensor(task_id="wait_for_deletion", mutation=delete_pages(), **wait)
        VectorizeMutationSensor(task_id="wait_for_nothing", mutation=delete_nothing(), **wait)
        VectorizeMutationSensor(task_id="wait_for_upsert", mutation=upsert_one(), **wait)

    with DAG(f"mapped_sensors_{mode}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        loads = VectorizeUpsertOperator.partial(task_id="load", index_name="books").expand(source=sources())
        VectorizeMutationSensor.partial(task_id="wait", **wait).expand(mutation=loads.output)

    with DAG(f"bare_ids_{mode}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        load = VectorizeUpsertOperator(task_id="load", index_name="books", source=SOURCE)
        VectorizeMutationSensor(task_id="one", mutation=load.output["mutation_id"], index_name="books", **wait)
        VectorizeMutationSensor(task_id="several", mutation=load.output["mutation_ids"], index_name="books", **wait)
