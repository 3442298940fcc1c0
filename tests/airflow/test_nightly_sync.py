"""Tests of the example DAG ``nightly_sync``: the normal night, and a held brake that a person approves or rejects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow, Run
from tests.airflow.test_example_dags import write

Corpus = Callable[[int], None]
FINISH = ("receipt", "wait", "check")
APPROVAL = ("has_plan", "approve", "sync_approved")


@pytest.fixture
def corpus(vectorize: LocalVectorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Return a function that writes the corpus with a number of vectors."""
    (tmp_path / "corpus").mkdir()
    monkeypatch.setenv("AIRFLOW_VAR_CORPUS", (tmp_path / "corpus").as_uri())
    monkeypatch.setenv("AIRFLOW_VAR_SYNC_STATE", (tmp_path / "state").as_uri())
    return lambda count: write(tmp_path / "corpus" / "a.ndjson", count)


def can_approve() -> bool:
    """Return whether approvals work in ``dag.test()``. Before 3.3, its triggers cannot read the answers."""
    from airflow.utils.state import TaskInstanceState

    return hasattr(TaskInstanceState, "AWAITING_INPUT")


@pytest.fixture
def approvals(airflow_home: Airflow) -> None:
    """Skip the test on an Airflow on which it cannot run."""
    if not can_approve():
        pytest.skip("dag.test() runs approvals on Airflow 3.3 and newer only")


@contextmanager
def answer(option: str) -> Iterator[dict[str, Any]]:
    """Answer the next approval as a person does, while a DAG runs. Yields a dict that gets the subject and the body."""
    shown: dict[str, Any] = {}
    ended = threading.Event()

    def watch() -> None:
        while not shown and not ended.wait(0.1):
            shown.update(_answer_open_request(option))

    person = threading.Thread(target=watch)
    person.start()
    try:
        yield shown
    finally:
        ended.set()
        person.join()


def _answer_open_request(option: str) -> dict[str, Any]:
    """Answer the request that waits for an answer, as the REST API does. Return what it shows, or an empty dict."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState

    with create_session() as session:
        request = session.query(HITLDetail).filter(HITLDetail.responded_at.is_(None)).first()
        if request is None or request.task_instance.state != TaskInstanceState.AWAITING_INPUT:
            return {}
        request.responded_at, request.responded_by = datetime.now(UTC), {"id": "1", "name": "Ada"}
        request.chosen_options, request.params_input = [option], {}
        event = TriggerEvent(request.as_resume_event_payload())
        handle_event_submit(event, task_instance=request.task_instance, session=session)
        return {"subject": request.subject, "body": request.body}


def states(run: Run) -> dict[str, str]:
    """Return the states of the tasks after the creation of the index."""
    return {task: state for task, state in run.states().items() if task != "create_index"}


def test_nightly_sync_normal_nights_succeed_without_an_approval(
    airflow: Airflow, corpus: Corpus, vectorize: LocalVectorize
) -> None:
    for count in (60, 55, 55):
        corpus(count)
        run = airflow.run("nightly_sync")
        assert run.state == "success"
        assert set(states(run).items()) >= {(task, "success") for task in ("sync", *FINISH)}
        assert {states(run).get(task, "skipped") for task in APPROVAL} == {"skipped"}
        assert vectorize.count("docs") == count
    assert run.xcom("sync")["mutation_id"] is None


def test_nightly_sync_held_brake_after_approval_deletes_the_plan(
    airflow: Airflow, corpus: Corpus, vectorize: LocalVectorize, approvals: None, tmp_path: Path
) -> None:
    corpus(60)
    airflow.run("nightly_sync")
    corpus(10)

    with answer("Approve") as shown:
        run = airflow.run("nightly_sync")

    plan = run.xcom("sync", "plan")
    assert shown["subject"] == f"Nightly sync: carry out plan {plan}?"
    assert "Withheld 50 deletions" in shown["body"]
    assert "50 left the source" in shown["body"]
    assert (tmp_path / "state" / f"plan-{plan}.ids.gz").as_uri() in shown["body"]
    assert "Some of their IDs: doc-" in shown["body"]
    assert run.state == "success"
    assert states(run) == {"sync": "failed"} | dict.fromkeys((*APPROVAL, *FINISH), "success")
    assert (run.xcom("sync_approved", "deleted"), vectorize.count("docs")) == (50, 10)


def test_nightly_sync_held_brake_after_rejection_deletes_nothing_and_fails(
    airflow: Airflow, corpus: Corpus, vectorize: LocalVectorize, approvals: None
) -> None:
    corpus(60)
    airflow.run("nightly_sync")
    corpus(10)

    with answer("Reject"):
        run = airflow.run("nightly_sync")

    assert run.state == "failed"
    assert (states(run)["approve"], states(run)["sync_approved"]) == ("success", "skipped")
    assert {states(run)[task] for task in FINISH} == {"upstream_failed"}
    assert vectorize.count("docs") == 60


def test_nightly_sync_plan_as_parameter_deletes_without_an_approval(
    airflow: Airflow, corpus: Corpus, vectorize: LocalVectorize, tmp_path: Path
) -> None:
    corpus(60)
    airflow.run("nightly_sync")
    corpus(10)
    with answer("Reject") if can_approve() else nullcontext():
        held = airflow.run("nightly_sync")

    run = airflow.run("nightly_sync", {"plan": held.xcom("sync", "plan")})

    assert (run.state, run.xcom("sync", "deleted"), vectorize.count("docs")) == ("success", 50, 10)


def test_nightly_sync_that_fails_without_a_plan_asks_for_no_approval(
    airflow: Airflow, corpus: Corpus, vectorize: LocalVectorize
) -> None:
    run = airflow.run("nightly_sync")  # the corpus is empty

    assert (run.state, states(run)["sync"]) == ("failed", "failed")
    assert states(run).get("approve", "skipped") == "skipped"
    assert {states(run)[task] for task in FINISH} == {"upstream_failed"}
