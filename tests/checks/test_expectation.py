"""What an index should hold according to receipts, collections and states, and when exact neighbors do not count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_vectorize.checks.expectation import StateSample, expect, parse_receipts
from airflow_provider_vectorize.load.collection import CollectedQuery, Collection
from airflow_provider_vectorize.load.neighbors import Neighbor
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.load.row_hashes import Counts
from airflow_provider_vectorize.sync.result import SyncResult

QUERY = CollectedQuery("a", (1.0,), (Neighbor("a", 1.0),))
COLLECTED = Collection("books", "upsert", "2026", Counts(9, 7, 0, 0), samples={"a": "0f"}, queries=(QUERY,))
LOAD = Receipt("upsert", "books", vectors=9, created_on="2026")
SYNC = SyncResult("upsert", "books", added=4, changed=1, unchanged=3, created_on="2026")


def test_expect_count_of_ids_is_known_after_collecting() -> None:
    assert expect("books", [LOAD], [COLLECTED], None).count == 7
    assert expect("books", [LOAD], [], None).count == 9
    assert expect("books", [LOAD, LOAD], [COLLECTED, COLLECTED], None).count == 18
    assert expect("books", [], [], None).count is None


def test_expect_sync_counts_known_vectors() -> None:
    assert expect("books", [replace(SYNC, unknown=2)], [COLLECTED], None).count == 6
    state = StateSample("books", "2026", 8, {"b": 7}, "row")
    expected = expect("books", [SYNC], [COLLECTED], state)
    assert (expected.count, dict(expected.samples)) == (8, {"b": 7})


@pytest.mark.parametrize(
    ("receipt", "reason"),
    [
        (LOAD, ""),
        (SYNC, ""),
        (replace(LOAD, rejected=2), "2 rows were rejected"),
        (replace(SYNC, objects_skipped=1), "1 objects were not opened"),
        (replace(SYNC, withheld=5), "5 deletions were withheld"),
        (replace(SYNC, unknown=1), "1 vectors are unknown"),
        (replace(SYNC, foreign=3), "3 vectors of the index are foreign"),
    ],
)
def test_expect_exact_neighbors_count_only_if_the_load_saw_all_vectors(receipt: Receipt, reason: str) -> None:
    incomplete = expect("books", [receipt], [COLLECTED], None).incomplete
    assert incomplete.startswith(reason)
    assert bool(incomplete) == bool(reason)


def test_expect_insert_compares_no_content_and_queries_no_values() -> None:
    receipt, collected = replace(LOAD, operation="insert"), replace(COLLECTED, operation="insert")
    expected = expect("books", [receipt], [collected], None)
    assert expected.incomplete.startswith("an insert keeps vectors")
    assert expected.queries == []


def test_expect_samples_of_a_sync_receipt_may_be_deleted_so_they_are_not_read() -> None:
    plain: dict[str, Any] = SYNC.to_dict() | {"samples": [{"id": "gone", "digest": "0f", "new": False}]}
    assert expect("books", parse_receipts(plain), [], None).samples == {}
    plain = LOAD.to_dict() | {"samples": [{"id": "a", "digest": "0f", "new": False}]}
    assert expect("books", parse_receipts(plain), [], None).samples == {"a": "0f"}
