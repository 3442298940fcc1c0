"""Tests of a watcher after a restart of the triggerer: the cursor in the asset state store decides what is sent."""

from __future__ import annotations

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow, Log
from tests.airflow.watchers import (
    AfterCheck,
    Store,
    events_until,
    make_watcher,
    no_handover,  # noqa: F401 - a fixture
    write,
)


def test_watcher_after_a_restart_does_not_fire_twice(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    store = Store()
    after_check(3, write(books))
    (event,) = events_until(after_check, 60, make_watcher(store=store))

    assert events_until(after_check, 120, make_watcher(store=store)) == []
    (cursor,) = store.values.values()
    assert cursor["mutation_id"] == event["mutation_id"]
    assert list(store.values) == ["vectorize_index_changed/vectorize_default/books"]


def test_watcher_after_a_restart_fires_for_a_write_in_between(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    store = Store()
    assert events_until(after_check, 3, make_watcher(store=store)) == []
    (mutation_id,) = books.foreign_mutation("books")

    (event,) = events_until(after_check, 60, make_watcher(store=store))

    assert event["mutation_id"] == mutation_id


def test_watcher_after_a_restart_without_store_does_not_fire_twice(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    after_check(3, write(books))
    assert len(events_until(after_check, 60, make_watcher())) == 1

    assert events_until(after_check, 120, make_watcher()) == []


def test_watcher_killed_before_the_cursor_was_stored_fires_again(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that Airflow may not have stored yet is better sent twice than never."""
    from airflow_provider_vectorize.triggers import index

    store = Store()
    monkeypatch.setattr(index, "HANDOVER_SECONDS", 3_600.0)
    after_check(3, write(books))
    (event,) = events_until(after_check, 60, make_watcher(store=store))

    (again,) = events_until(after_check, 120, make_watcher(store=store))

    assert again == event


def test_watcher_does_not_repeat_the_event_of_another_triggerer(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck
) -> None:
    first, shared = Store(), Store()
    after_check(3, write(books))
    assert len(events_until(after_check, 60, make_watcher(store=first))) == 1
    after_check(70, write(books))
    sent_elsewhere = {key: value | {"after": "2100-01-01T00:00:00+00:00"} for key, value in first.values.items()}
    after_check(71, lambda: shared.values.update(sent_elsewhere))

    assert events_until(after_check, 140, make_watcher(store=shared)) == []


@pytest.mark.parametrize("problem", [RuntimeError("the API server is down"), ValueError("Task has 2 concrete inlets")])
def test_watcher_with_a_failing_store_fires_and_warns_once(
    airflow_home: Airflow, books: LocalVectorize, after_check: AfterCheck, log: Log, problem: Exception
) -> None:
    after_check(3, write(books))

    assert len(events_until(after_check, 60, make_watcher(store=Store(problem)))) == 1
    assert log.text.count("the cursor vectorize_index_changed/vectorize_default/books of a watcher") == 1
