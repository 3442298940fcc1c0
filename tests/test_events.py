"""Tests that figures are read from events of tasks and of watchers alike, and that other events are left out."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_vectorize.events import index_event, index_events

RECEIPT = {
    "operation": "upsert",
    "index_name": "docs",
    "mutation_id": "m1",
    "vectors": 10,
    "accepted_at": "2026-11-26T02:00:00+00:00",
    "samples": [{"id": "a", "digest": "d", "new": True}],
}
PAYLOAD = {
    "index_name": "docs",
    "vectorize_conn_id": "vectorize_default",
    "mutation_id": "m2",
    "processed_at": "2026-11-26T02:05:00+00:00",
    "vector_count": 500,
    "quiet": True,
}
OF_WATCHER = {"from_trigger": True, "payload": PAYLOAD}


def context(*extras: Any, name: str = "triggering_asset_events") -> dict[str, Any]:
    return {name: {"an asset": [SimpleNamespace(extra=extra) for extra in extras]}}


def test_index_events_of_a_task_and_of_a_watcher_have_the_same_figures() -> None:
    of_task, of_watcher = index_events(context(RECEIPT, OF_WATCHER))

    assert (of_task.index_name, of_task.mutation_id, of_task.at) == ("docs", "m1", RECEIPT["accepted_at"])
    assert (of_task.vectors, of_task.vector_count, of_task.visible) == (10, None, False)
    assert (of_task.receipt, of_task.payload) == (RECEIPT, None)
    assert (of_watcher.index_name, of_watcher.mutation_id, of_watcher.at) == ("docs", "m2", PAYLOAD["processed_at"])
    assert (of_watcher.vectors, of_watcher.vector_count, of_watcher.visible) == (None, 500, True)
    assert (of_watcher.receipt, of_watcher.payload) == (None, PAYLOAD)


@pytest.mark.parametrize(
    "extra",
    [
        {},
        None,
        "text",
        [1],
        {"a": 1},
        {"from_trigger": True, "payload": {"file": "a"}},
        {"from_trigger": True, "payload": "a"},
        {"from_trigger": True, "payload": {"index_name": ["docs", "films"], "processed_at": "2026-11-26"}},
        {"from_trigger": True, "payload": {"index_name": "docs", "processed_at": 1_764_000_000}},
        {"from_trigger": True, "payload": {"index_name": None, "processed_at": None}},
        {"index_name": {"name": "docs"}, "mutation_id": "m1"},
        {"index_name": "docs", "mutation_id": 17},
        {"index_name": "docs"},
    ],
)
def test_index_events_about_something_else_are_left_out(extra: Any) -> None:
    assert index_events(context(extra)) == []


@pytest.mark.parametrize("empty", [{}, {"triggering_asset_events": None}, {"triggering_asset_events": {}}])
def test_index_events_of_a_manual_run_are_empty(empty: dict[str, Any]) -> None:
    assert index_events(empty) == []


def test_index_events_of_airflow_2_are_read() -> None:
    (event,) = index_events(context(RECEIPT, name="triggering_dataset_events"))

    assert event.receipt == RECEIPT


def test_index_event_reads_an_extra_without_its_event() -> None:
    assert index_event(OF_WATCHER) == index_event(SimpleNamespace(extra=OF_WATCHER)) is not None


def test_index_event_of_a_task_that_sent_nothing_is_visible() -> None:
    event = index_event(RECEIPT | {"mutation_id": None})

    assert event
    assert event.visible


def test_index_event_as_dict_is_plain_json() -> None:
    event = index_event(RECEIPT)

    assert event
    assert json.loads(json.dumps(event.to_dict())) == event.to_dict()
