"""Tests of the sensor's ``mutation`` argument, and of the writes of one client that stand for each other."""

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


def hook_write(begun: int, acknowledged: int, writer: str = "one", **more: Any) -> dict[str, Any]:
    """Return the result of a write method of the hook."""
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


def test_wait_restored_from_the_row_of_a_trigger_is_unchanged() -> None:
    (wait,) = waits_for(receipt(), None)
    assert Wait.from_dict(json.loads(json.dumps(wait.to_dict()))) == wait


def test_wait_for_a_thousand_mutations_serializes_to_less_than_10_kb() -> None:
    (wait,) = waits_for(receipt(mutation_ids=[str(uuid4()) for _ in range(1_000)]), None)
    assert len(json.dumps(wait.to_dict())) < 10_000
    assert wait.owns(wait.mutation_id)
    assert not wait.owns(str(uuid4()))


def test_waits_for_time_without_a_zone_is_utc() -> None:
    (wait,) = waits_for(receipt(accepted_at="2026-11-26T12:00:00"), None)
    assert wait.accepted_at is not None
    assert wait.accepted_at.utcoffset() is not None


def test_waits_for_consecutive_writes_of_one_client_returns_the_last() -> None:
    writes = [hook_write(1, 2), hook_write(3, 4), hook_write(5, 6)]
    (wait,) = waits_for(writes, None)
    assert wait.mutation_id == writes[-1]["mutation_id"]
    assert all(wait.owns(write["mutation_id"]) for write in writes)


def test_waits_for_concurrent_writes_of_one_client_returns_both() -> None:
    writes = [hook_write(1, 2), hook_write(3, 5), hook_write(4, 6)]
    assert {wait.mutation_id for wait in waits_for(writes, None)} == {write["mutation_id"] for write in writes[1:]}


@pytest.mark.parametrize(
    "other", [{"writer": "two"}, {"index_name": "films"}, {"created_on": "2026-11-02T00:00:00+00:00"}, {"writer": ""}]
)
def test_waits_for_writes_of_different_writers_returns_all(other: dict[str, Any]) -> None:
    assert len(waits_for([hook_write(1, 2), hook_write(3, 4, **other)], None)) == 2


def test_waits_for_nested_and_empty_receipts_returns_one_wait_each() -> None:
    waits = waits_for([[receipt()], (receipt(), receipt(mutation_id=None)), []], None)
    assert len(waits) == 2


def test_waits_for_the_same_receipt_twice_returns_one_wait() -> None:
    load = receipt()
    assert len(waits_for([load, dict(load)], None)) == 1


def test_waits_for_receipt_of_another_index_raises_config_error() -> None:
    assert waits_for(receipt(), "books")
    with pytest.raises(ConfigError, match="never shows in another"):
        waits_for([receipt(), receipt()], "films")


def test_waits_for_a_dict_of_several_mutations_that_says_no_order_is_unsealed() -> None:
    ids = [str(uuid4()), str(uuid4())]
    (one,) = waits_for({"index_name": "books", "mutation_id": ids[0], "mutation_ids": ids[:1]}, None)
    (several,) = waits_for({"index_name": "books", "mutation_id": ids[1], "mutation_ids": ids}, None)
    assert (one.sealed, several.sealed) == (True, False)


def test_waits_for_receipt_of_an_earlier_version_is_unsealed() -> None:
    old = {key: value for key, value in receipt(sealed=False).items() if key != "created_on"}
    (wait,) = waits_for(old, None)
    assert (wait.created_on, wait.sealed) == (None, False)
