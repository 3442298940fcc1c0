"""Durable execution: a second try goes on where the first one failed, and says so."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import row
from tests.airflow.runs import Airflow, Log, Run, query

Rows = Callable[..., str]
GOING_ON = "Going on where the last attempt was"
OVER = "starting over"

needs_store = pytest.mark.usefixtures("store")


@pytest.fixture
def store(airflow_home: Airflow) -> None:
    """Only where Airflow keeps state between the tries of a task."""
    if not query("select 1 from sqlite_master where name = 'task_state_store'"):
        pytest.skip("this Airflow has no task state store")


def state(run: Run) -> Any:
    """The checkpoint in the database, or ``None``."""
    found = query("select value from task_state_store where dag_id = ? and run_id = ?", run.dag_id, run.run_id)
    return json.loads(found[0][0]) if found else None


def acknowledged(books: LocalVectorize) -> list[int]:
    """The vectors of each batch that was acknowledged."""
    return [one.vectors for one in books.requests("upsert") if one.status == 200]


def expected(count: int) -> dict[str, str]:
    rows = [row(number) for number in range(count)]
    return {one["id"]: LocalVectorize.digest(one["values"], metadata=one["metadata"]) for one in rows}


@needs_store
@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("after", [0, 3, 9])
@pytest.mark.parametrize("name", ["source.ndjson", "source.ndjson.gz"])
def test_a_second_try_sends_no_acknowledged_batch_again(
    airflow: Airflow, books: LocalVectorize, rows: Rows, in_flight: int, after: int, name: str
) -> None:
    books.fail("http_500", operation="upsert", after=after)

    run = airflow.run(f"load_durable_{in_flight}", {"source": rows(100, name)})

    assert run.state == "success"
    assert run.tries("load") == 2
    assert acknowledged(books) == [10] * 10
    assert books.dump("books") == expected(100)
    receipt = run.xcom("load")
    assert (receipt["vectors"], receipt["batches"], len(receipt["mutation_ids"])) == (100, 10, 10)
    sent = [one for one in books.requests("upsert") if one.status == 200]
    assert Counter(receipt["mutation_ids"]) == Counter(one.mutation_id for one in sent)
    assert receipt["bytes_sent"] == sum(one.body_bytes for one in sent)


@needs_store
def test_the_log_of_a_second_try_says_where_it_goes_on(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    books.fail("http_500", operation="upsert", after=3)

    source = rows(100)
    airflow.run("load_durable_1", {"source": source})

    third = books.requests("upsert")[2].mutation_id
    byte = sum(map(len, Path(source).read_bytes().splitlines(keepends=True)[:30]))
    assert (
        f"{GOING_ON}, at line 31 of {Path(source).as_uri()} (byte {byte:,}): "
        f"30 vectors in 3 batches are acknowledged already, the last as mutation {third}." in airflow.log.text
    )
    assert "Before that, 30 vectors in 3 batches were acknowledged" in airflow.log.text


@needs_store
def test_a_task_that_is_lost_before_it_hands_on_its_receipt_need_not_load_again(
    airflow: Airflow, books: LocalVectorize, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    real, receipts = VectorizeHook.load, []

    def load(hook: Any, *args: Any, **options: Any) -> Any:
        receipts.append(real(hook, *args, **options))
        if len(receipts) == 1:
            raise RuntimeError("the worker is lost")
        return receipts[-1]

    monkeypatch.setattr(VectorizeHook, "load", load)

    run = airflow.run("load_durable_1", {"source": rows(100)})

    assert run.tries("load") == 2
    assert acknowledged(books) == [10] * 10
    assert run.xcom("load") == receipts[0] == receipts[1]


@needs_store
def test_a_load_that_failed_for_good_leaves_its_checkpoint(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    books.fail("http_500", operation="upsert", after=3, times=2)

    run = airflow.run("load_durable_1", {"source": rows(100)})

    assert run.state == "failed"
    assert state(run)["receipt"]["vectors"] == 30


@needs_store
def test_clear_starts_over_and_says_so(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    books.fail("http_500", operation="upsert", after=3, times=2)
    run = airflow.run("load_durable_1", {"source": rows(100)})
    books.clear_requests()

    airflow.clear(run)
    airflow.again(run, "load")

    assert run.states() == {"load": "success"}
    assert acknowledged(books) == [10] * 10
    assert f"number of clears changed): {OVER}" in airflow.log.text
    assert run.xcom("load", "batches") == 10


@needs_store
def test_clear_of_a_green_load_loads_everything_again(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    run = airflow.run("load_durable_1", {"source": rows(100)})
    books.clear_requests()

    airflow.clear(run)
    airflow.again(run, "load")

    assert acknowledged(books) == [10] * 10


@needs_store
def test_clear_after_retries_were_lowered_loads_everything_again(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    """The first try of two, then one retry fewer: a clear sets max_tries to the same number as before."""
    run = airflow.run("load_durable_1", {"source": rows(100)})
    before = query("select max_tries from task_instance where dag_id = ? and run_id = ?", run.dag_id, run.run_id)
    books.clear_requests()

    airflow.clear(run)
    airflow.set_max_tries(run, before[0][0])
    airflow.again(run, "load")

    assert acknowledged(books) == [10] * 10
    assert f"number of clears changed): {OVER}" in airflow.log.text


@pytest.mark.parametrize("dag_id", ["late_durable", "late_forgetful", "late_deletion", "late_function"])
def test_the_second_try_of_a_killed_task_begins_with_the_wait(
    airflow: Airflow, books: LocalVectorize, rows: Rows, monkeypatch: pytest.MonkeyPatch, dag_id: str
) -> None:
    from airflow_provider_vectorize.api import transport
    from airflow_provider_vectorize.load.ledger import Ledger

    real, attempts = transport.Transport.send, []

    def send(self: Any, *args: Any, **options: Any) -> Any:
        if options.get("change") and not attempts:
            attempts.append(self)
            raise RuntimeError("killed")
        return real(self, *args, **options)

    monkeypatch.setattr(transport.Transport, "send", send)
    monkeypatch.setattr(Ledger, "settle", lambda self: None)  # a killed process does not come to its end

    run = airflow.run(dag_id, {"source": rows(10)})

    assert run.state == "success"
    assert run.tries("write") == 2
    assert airflow.log.text.count('s before writing to index "books": an earlier request got no answer') == 1


@needs_store
def test_another_source_under_the_same_name_starts_over(
    airflow: Airflow, books: LocalVectorize, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    books.fail("http_500", operation="upsert", after=3)
    real, tries = VectorizeHook.load, []

    def load(hook: Any, *args: Any, **options: Any) -> Any:
        tries.append(hook)
        if len(tries) == 2:
            rows(50, first=1_000)  # whoever writes the source was not done
        return real(hook, *args, **options)

    monkeypatch.setattr(VectorizeHook, "load", load)

    run = airflow.run("load_durable_1", {"source": rows(100)})

    assert run.state == "success"
    assert f"source changed): {OVER}" in airflow.log.text
    assert run.xcom("load", "vectors") == 50


@pytest.mark.parametrize("in_flight", [1, 4])
def test_without_durable_a_second_try_starts_over_and_nothing_is_lost(
    airflow: Airflow, books: LocalVectorize, rows: Rows, in_flight: int
) -> None:
    books.fail("http_500", operation="upsert", after=5)

    run = airflow.run(f"load_forgetful_{in_flight}", {"source": rows(100)})

    assert run.state == "success"
    assert GOING_ON not in airflow.log.text
    assert books.dump("books") == expected(100)
    assert run.xcom("load", "vectors") == 100


def test_without_a_state_store_a_second_try_starts_over_and_nothing_is_lost(
    airflow_home: Airflow, books: LocalVectorize, rows: Rows, log: Log
) -> None:
    from airflow_provider_vectorize.api.limits import Limits
    from airflow_provider_vectorize.errors import ServerError
    from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator

    load = VectorizeUpsertOperator(
        task_id="load",
        index_name="books",
        source=rows(100),
        limits=Limits(vectors_per_request=10, late_seconds=0),
        max_in_flight=1,
    )
    context: Any = {"ti": SimpleNamespace(max_tries=1, xcom_push=lambda **_: None)}
    books.fail("http_500", operation="upsert", after=5)

    with pytest.raises(ServerError, match="a retry sends them again, which changes nothing"):
        load.execute(context)
    receipt = load.execute(context)

    assert acknowledged(books) == [10] * 15
    assert (receipt["vectors"], receipt["batches"]) == (100, 10)
    assert books.dump("books") == expected(100)
    assert "no task state store" in log.text


@needs_store
def test_a_checkpoint_stays_small(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    books.fail("http_500", operation="upsert", after=150, times=None)

    run = airflow.run("load_durable_4", {"source": rows(2_000)})

    assert run.state == "failed"
    assert len(json.dumps(state(run))) < 65_536  # Airflow warns of more
