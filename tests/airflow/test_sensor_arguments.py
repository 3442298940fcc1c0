"""Tests of the arguments of the sensor, its deferral, and reschedule mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow
from tests.airflow.sensors import BOTH_VARIANTS, MUTATION_ID, load_unprocessed, make_sensor, run_sensor

Rows = Callable[..., str]


@pytest.fixture
def receipt(airflow_home: Airflow, books: LocalVectorize, rows: Rows) -> dict[str, Any]:
    """Receipt of a load of ten rows that Vectorize has not processed yet."""
    return load_unprocessed(books, rows(10))


@pytest.mark.parametrize("write", ["upsert", "insert", "delete_by_ids", "delete_nothing", "create_metadata_index"])
@BOTH_VARIANTS
def test_sensor_accepts_the_return_value_of_each_hook_write(
    airflow_home: Airflow, books: LocalVectorize, write: str, variant: str
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from tests.airflow.conftest import row

    hook = VectorizeHook()
    returned: Any = {
        "upsert": lambda: hook.upsert("books", [row(1)]),
        "insert": lambda: hook.insert("books", [row(1)]).to_dict(),
        "delete_by_ids": lambda: hook.delete_by_ids("books", [f"book-{n}" for n in range(250)]),
        "delete_nothing": lambda: hook.delete_by_ids("books", []),
        "create_metadata_index": lambda: hook.create_metadata_index("books", "shelf", "number"),
    }[write]()

    run_sensor(make_sensor(returned, variant))

    assert len(books.requests("delete_by_ids")) == (3 if write == "delete_by_ids" else 0), "sent a marker"


def test_sensor_operator_as_mutation_stands_for_its_output(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator

    with DAG(dag_id="operator_as_mutation", schedule=None):
        load = VectorizeUpsertOperator(task_id="load", index_name="books", source="x.ndjson")
        wait_for_one = make_sensor(load)
        wait_for_two = make_sensor([load, load], task_id="two")

    assert str(wait_for_one.mutation) == str(load.output)
    assert [str(output) for output in wait_for_two.mutation] == [str(load.output)] * 2
    assert wait_for_one.upstream_task_ids == wait_for_two.upstream_task_ids == {"load"}


@pytest.mark.parametrize(
    ("mutation", "index_name", "message"),
    [
        (None, None, "the upstream task returned nothing"),
        ("", "books", "There is no mutation to wait for"),
        ("None", "books", "There is no mutation to wait for"),
        (" ", "books", "There is no mutation to wait for"),
        ("{'mutation_id': 'x'}", "books", "text of a receipt or list"),
        (f"['{MUTATION_ID}']", "books", "text of a receipt or list"),
        ("an-id", "books", "is not a mutation id"),
        (MUTATION_ID, None, "Set index_name"),
        (MUTATION_ID, "None", "Set index_name"),
        ({"vectors": 3}, None, "not a receipt"),
        ({"mutation_id": "None", "index_name": "books"}, None, "There is no mutation to wait for"),
        ({"mutation_id": MUTATION_ID, "index_name": "books"}, "films", 'receipt is of index "books"'),
        ([None], "books", "the upstream task returned nothing"),
        (7, "books", "not int"),
    ],
)
@BOTH_VARIANTS
def test_sensor_invalid_mutation_fails_without_retries(
    airflow_home: Airflow, mutation: Any, index_name: str | None, message: str, variant: str
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match=message):
        make_sensor(mutation, variant, index_name=index_name).execute({})


@BOTH_VARIANTS
@pytest.mark.parametrize("nothing", [[], {"mutation_id": None, "index_name": "books"}, [[], []]])
def test_sensor_nothing_written_succeeds_at_once(airflow_home: Airflow, nothing: Any, variant: str) -> None:
    make_sensor(nothing, variant).execute({})


def test_sensor_reschedule_mode_with_several_mutations_fails(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match="deferrable=True"):
        make_sensor([MUTATION_ID, MUTATION_ID.replace("0", "1")], index_name="books", mode="reschedule").execute({})


def test_sensor_reschedule_mode_fails_only_if_a_marker_is_needed(
    receipt: dict[str, Any], books: LocalVectorize
) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    assert make_sensor(receipt, mode="reschedule").poke({}) is False
    books.process()
    assert make_sensor(receipt, mode="reschedule").poke({}) is True
    books.foreign_mutation("books")
    books.process()
    with pytest.raises(AirflowFailException, match="remembers nothing between two pokes"):
        make_sensor(receipt, mode="reschedule").poke({})
    assert not books.requests("delete_by_ids")


def test_sensor_deferral_sends_no_request(receipt: dict[str, Any], books: LocalVectorize) -> None:
    """One request from each of a thousand sensors would use up the request budget."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    books.clear_requests()

    with pytest.raises(TaskDeferred):
        make_sensor(receipt, "deferrable").execute({})

    assert books.requests() == []


def test_sensor_deferral_logs_what_it_waits_for_and_has_a_timeout(receipt: dict[str, Any], log: Any) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    with pytest.raises(TaskDeferred) as caught:
        make_sensor(receipt, "deferrable", timeout=60).execute({})

    assert 60 < caught.value.timeout.total_seconds() < 600, "must end after the trigger's own deadline"
    assert caught.value.trigger.deadline is not None
    assert "10 vectors" in log.text
    assert "A triggerer has to be running" in log.text


def test_sensor_execution_timeout_includes_the_deferral(receipt: dict[str, Any]) -> None:
    from datetime import timedelta
    from time import time

    from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred

    task = make_sensor(receipt, "deferrable", timeout=600, execution_timeout=timedelta(seconds=30))
    with pytest.raises(TaskDeferred) as caught:
        task.execute({})

    assert caught.value.trigger.deadline < time() + 31
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout"):
        task.resume_execution("execute_complete", {"event": {"status": "timeout", "text": "…"}}, {})


def test_sensor_deferrable_defaults_to_the_setting_of_the_deployment() -> None:
    import inspect

    from airflow.providers.common.compat.sdk import conf

    from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

    default = inspect.signature(VectorizeMutationSensor.__init__).parameters["deferrable"].default
    assert default is conf.getboolean("operators", "default_deferrable", fallback=False)


def test_sensor_unknown_trigger_event_fails(airflow_home: Airflow) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    for event in (None, {}, {"status": "surprise"}):
        with pytest.raises(AirflowFailException, match="unknown event"):
            make_sensor(MUTATION_ID, index_name="books").execute_complete({}, event)


def test_sensor_mutation_label_names_the_index_and_what_was_written(receipt: dict[str, Any]) -> None:
    assert make_sensor(receipt).mutation_label == 'index "books": 10 vectors'
    assert make_sensor([]).mutation_label == "nothing"


@pytest.mark.parametrize("arguments", [{"marker": "vectors"}, {"proof": "quiet"}])
def test_sensor_unknown_option_fails_when_the_dag_is_parsed(airflow_home: Airflow, arguments: dict[str, str]) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    with pytest.raises(ConfigError):
        make_sensor(MUTATION_ID, index_name="books", **arguments)
