"""What a sensor's ``mutation`` may be, and how writes of one client are joined."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.visibility.waits import Wait, waits_for


def receipt(**more: Any) -> dict[str, Any]:
    return {
        "operation": "upsert",
        "index_name": "books",
        "mutation_id": str(uuid4()),
        "mutation_ids": [str(uuid4())],
        "vectors": 7,
        "accepted_at": "2026-11-26T12:00:00+00:00",
        "created_on": "2026-11-01T00:00:00+00:00",
        "samples": [{"id": "a", "digest": "b", "new": True}],
        "sealed": True,
        **more,
    }


def written(begun: int, acknowledged: int, writer: str = "one", **more: Any) -> dict[str, Any]:
    """What a write of the hook returns."""
    return {
        "operation": "delete",
        "index_name": "books",
        "mutation_id": str(uuid4()),
        "accepted_at": None,
        "created_on": "2026-11-01T00:00:00+00:00",
        "writer": writer,
        "begun": begun,
        "acknowledged": acknowledged,
        **more,
    }


def test_wait_survives_the_row_of_a_trigger() -> None:
    (wait,) = waits_for(receipt(), None)
    assert Wait.from_dict(json.loads(json.dumps(wait.to_dict()))) == wait


def test_row_of_a_trigger_stays_small_for_a_thousand_mutations() -> None:
    (wait,) = waits_for(receipt(mutation_ids=[str(uuid4()) for _ in range(1_000)]), None)
    assert len(json.dumps(wait.to_dict())) < 10_000
    assert wait.owns(wait.mutation_id)
    assert not wait.owns(str(uuid4()))


def test_time_without_a_zone_is_utc() -> None:
    (wait,) = waits_for(receipt(accepted_at="2026-11-26T12:00:00"), None)
    assert wait.accepted_at is not None
    assert wait.accepted_at.utcoffset() is not None


def test_last_of_consecutive_writes_of_one_client_stands_for_all() -> None:
    writes = [written(1, 2), written(3, 4), written(5, 6)]
    (wait,) = waits_for(writes, None)
    assert wait.mutation_id == writes[-1]["mutation_id"]
    assert all(wait.owns(one["mutation_id"]) for one in writes)


def test_concurrent_writes_of_one_client_are_all_waited_for() -> None:
    writes = [written(1, 2), written(3, 5), written(4, 6)]
    assert {wait.mutation_id for wait in waits_for(writes, None)} == {one["mutation_id"] for one in writes[1:]}


@pytest.mark.parametrize(
    "other", [{"writer": "two"}, {"index_name": "films"}, {"created_on": "2026-11-02T00:00:00+00:00"}, {"writer": ""}]
)
def test_writes_of_others_do_not_stand_for_each_other(other: dict[str, Any]) -> None:
    assert len(waits_for([written(1, 2), written(3, 4, **other)], None)) == 2


def test_receipts_of_mapped_tasks_may_be_nested_and_some_empty() -> None:
    found = waits_for([[receipt()], (receipt(), receipt(mutation_id=None)), []], None)
    assert len(found) == 2


def test_same_receipt_twice_is_one_wait() -> None:
    one = receipt()
    assert len(waits_for([one, dict(one)], None)) == 1


def test_index_name_beside_a_receipt_of_that_index_is_fine() -> None:
    assert waits_for(receipt(), "books")
    with pytest.raises(ConfigError, match="never shows in another"):
        waits_for([receipt(), receipt()], "films")


def test_receipt_of_an_earlier_version_has_no_created_on_and_may_be_unsealed() -> None:
    old = {key: value for key, value in receipt(sealed=False).items() if key != "created_on"}
    (wait,) = waits_for(old, None)
    assert (wait.created_on, wait.sealed) == (None, False)
