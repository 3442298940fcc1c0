"""Tests of durable execution: a retry resumes from the last checkpoint, or starts over, and logs it."""

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
RESUMING = "Resuming from the last checkpoint"
STARTING_OVER = "Starting over: the checkpoint belongs to another load"

needs_store = pytest.mark.usefixtures("store")


def checkpoint(run: Run) -> Any:
    """Return the checkpoint in the database, or ``None``."""
    found = query("select value from task_state_store where dag_id = ? and run_id = ?", run.dag_id, run.run_id)
    return json.loads(found[0][0]) if found else None


def acknowledged(books: LocalVectorize) -> list[int]:
    """Return the number of vectors of each acknowledged batch."""
    return [one.vectors for one in books.requests("upsert") if one.status == 200]


def expected(count: int) -> dict[str, str]:
    rows = [row(number) for number in range(count)]
    return {one["id"]: LocalVectorize.digest(one["values"], metadata=one["metadata"]) for one in rows}


@needs_store
@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("after", [0, 3, 9])
@pytest.mark.parametrize("name", ["source.ndjson", "source.ndjson.gz"])
def test_retry_sends_no_acknowledged_batch_again(
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
def test_retry_logs_the_position_that_it_resumes_from(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    books.fail("http_500", operation="upsert", after=3)

    source = rows(100)
    airflow.run("load_durable_1", {"source": source})

    third_mutation = books.requests("upsert")[2].mutation_id
    byte_offset = sum(map(len, Path(source).read_bytes().splitlines(keepends=True)[:30]))
    assert (
        f"{RESUMING} at line 31 of {Path(source).as_uri()} (byte {byte_offset:,}). "
        f"Already acknowledged: 30 vectors in 3 batches (last mutation {third_mutation})." in airflow.log.text
    )
    assert "Before that, 30 vectors in 3 batches were acknowledged" in airflow.log.text


@needs_store
def test_retry_after_a_finished_load_returns_its_receipt_and_sends_nothing(
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
def test_load_that_fails_without_retries_left_keeps_its_checkpoint(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    books.fail("http_500", operation="upsert", after=3, times=2)

    run = airflow.run("load_durable_1", {"source": rows(100)})

    assert run.state == "failed"
    assert checkpoint(run)["receipt"]["vectors"] == 30


@pytest.mark.parametrize("dag_id", ["late_durable", "late_not_durable", "late_deletion", "late_function"])
def test_second_attempt_of_a_killed_task_waits_for_late_requests(
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
    monkeypatch.setattr(Ledger, "settle", lambda self: None)  # a killed process does not settle its requests

    run = airflow.run(dag_id, {"source": rows(10)})

    assert run.state == "success"
    assert run.tries("write") == 2
    assert airflow.log.text.count('s before writing to index "books": an earlier request got no answer') == 1


@needs_store
def test_retry_with_a_changed_source_starts_over(
    airflow: Airflow, books: LocalVectorize, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    books.fail("http_500", operation="upsert", after=3)
    real, attempts = VectorizeHook.load, []

    def load(hook: Any, *args: Any, **options: Any) -> Any:
        attempts.append(hook)
        if len(attempts) == 2:
            rows(50, first=1_000)  # replaces the source
        return real(hook, *args, **options)

    monkeypatch.setattr(VectorizeHook, "load", load)

    run = airflow.run("load_durable_1", {"source": rows(100)})

    assert run.state == "success"
    assert f"{STARTING_OVER} (source changed)." in airflow.log.text
    assert run.xcom("load", "vectors") == 50


@pytest.mark.parametrize("in_flight", [1, 4])
def test_retry_without_durable_starts_over_and_loads_everything(
    airflow: Airflow, books: LocalVectorize, rows: Rows, in_flight: int
) -> None:
    books.fail("http_500", operation="upsert", after=5)

    run = airflow.run(f"load_not_durable_{in_flight}", {"source": rows(100)})

    assert run.state == "success"
    assert RESUMING not in airflow.log.text
    assert books.dump("books") == expected(100)
    assert run.xcom("load", "vectors") == 100


def test_retry_without_task_state_store_starts_over_and_loads_everything(
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

    with pytest.raises(ServerError, match="A retry sends them again, which changes nothing"):
        load.execute(context)
    receipt = load.execute(context)

    assert acknowledged(books) == [10] * 15
    assert (receipt["vectors"], receipt["batches"]) == (100, 10)
    assert books.dump("books") == expected(100)
    assert "no task state store" in log.text


@needs_store
def test_checkpoint_of_a_failed_load_stays_small(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    books.fail("http_500", operation="upsert", after=150, times=None)

    run = airflow.run("load_durable_4", {"source": rows(2_000)})

    assert run.state == "failed"
    assert len(json.dumps(checkpoint(run))) < 65_536  # Airflow warns of larger values
