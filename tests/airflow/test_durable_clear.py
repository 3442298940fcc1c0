"""Tests of a cleared load: it starts over, or resumes if Airflow 3.4 was asked to keep its state."""

from __future__ import annotations

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow, query
from tests.airflow.test_durable import STARTING_OVER, Rows, acknowledged, expected, needs_store


@needs_store
def test_cleared_failed_load_starts_over_and_logs_it(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    books.fail("http_500", operation="upsert", after=3, times=2)
    run = airflow.run("load_durable_1", {"source": rows(100)})
    books.clear_requests()

    airflow.clear(run)
    airflow.run_task_again(run, "load")

    assert run.states() == {"load": "success"}
    assert acknowledged(books) == [10] * 10
    assert f"{STARTING_OVER} (number of clears changed)." in airflow.log.text
    assert run.xcom("load", "batches") == 10


@needs_store
def test_cleared_successful_load_loads_everything_again(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    run = airflow.run("load_durable_1", {"source": rows(100)})
    books.clear_requests()

    airflow.clear(run)
    airflow.run_task_again(run, "load")

    assert acknowledged(books) == [10] * 10


@needs_store
def test_cleared_load_after_retries_were_lowered_loads_everything_again(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    """After the first of two attempts and with one retry less, a clear does not change ``max_tries``."""
    run = airflow.run("load_durable_1", {"source": rows(100)})
    before = query("select max_tries from task_instance where dag_id = ? and run_id = ?", run.dag_id, run.run_id)
    books.clear_requests()

    airflow.clear(run)
    airflow.set_max_tries(run, before[0][0])
    airflow.run_task_again(run, "load")

    assert acknowledged(books) == [10] * 10
    assert f"{STARTING_OVER} (number of clears changed)." in airflow.log.text


@pytest.fixture
def airflow_3_4(store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the state store the asynchronous methods by which the provider recognizes Airflow 3.4.

    A clear keeps the state here, as in 3.4 if the user asks for it. Deleting the state imitates any other clear.
    """
    from airflow.sdk.execution_time.context import TaskStateStoreAccessor

    monkeypatch.setattr(TaskStateStoreAccessor, "aget", None, raising=False)


@pytest.mark.usefixtures("airflow_3_4")
def test_cleared_unfinished_load_whose_state_was_kept_resumes(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    books.fail("http_500", operation="upsert", after=3, times=2)
    run = airflow.run("load_durable_1", {"source": rows(100)})
    books.clear_requests()

    airflow.clear(run)
    airflow.run_task_again(run, "load")

    assert run.states() == {"load": "success"}
    assert acknowledged(books) == [10] * 7
    assert books.dump("books") == expected(100)
    assert "Airflow kept the checkpoint when the task was cleared" in airflow.log.text
    assert run.xcom("load", "vectors") == 100


@pytest.mark.usefixtures("airflow_3_4")
def test_cleared_unfinished_load_whose_state_was_discarded_starts_over(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    books.fail("http_500", operation="upsert", after=3, times=2)
    run = airflow.run("load_durable_1", {"source": rows(100)})
    books.clear_requests()

    airflow.clear(run)
    airflow.discard_state(run)
    airflow.run_task_again(run, "load")

    assert acknowledged(books) == [10] * 10


@pytest.mark.usefixtures("airflow_3_4")
def test_cleared_finished_load_whose_state_was_kept_loads_everything_again(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    """Clearing a run keeps the state in 3.4, and its tasks must not do nothing."""
    run = airflow.run("load_durable_1", {"source": rows(100)})
    books.clear_requests()

    airflow.clear(run)
    airflow.run_task_again(run, "load")

    assert acknowledged(books) == [10] * 10
    assert f"{STARTING_OVER} (number of clears changed)." in airflow.log.text


@pytest.mark.usefixtures("airflow_3_4")
def test_cleared_load_whose_state_was_kept_still_compares_the_source(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    books.fail("http_500", operation="upsert", after=3, times=2)
    run = airflow.run("load_durable_1", {"source": rows(100)})
    books.clear_requests()

    airflow.clear(run)
    rows(50, first=1_000)  # replaces the source
    airflow.run_task_again(run, "load")

    assert f"{STARTING_OVER} (source changed)." in airflow.log.text
    assert run.xcom("load", "vectors") == 50
