"""Test what a sync sends, deletes and commits, on the local Vectorize."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_provider_vectorize.errors import SyncError
from airflow_provider_vectorize.rows import block_rows
from airflow_provider_vectorize.rows.float32_text import shorten_values
from tests.support import expected_dump, make_rows, ndjson

from .support import SyncedIndex


def test_sync_first_run_sends_every_row(books: SyncedIndex) -> None:
    rows = make_rows(25)
    books.write("a.ndjson", rows)

    result = books.sync()

    assert books.dump() == expected_dump(rows)
    assert (result["added"], result["rows_read"], result["generation"], result["batches"]) == (25, 25, 1, 3)
    assert result["sealed"]
    assert books.folder.state.columns.ids == 25
    assert not list(books.folder.list("log/"))


def test_sync_unchanged_objects_are_not_opened(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(25))
    books.sync()
    books.written()
    before = dict(books.folder.content)

    result = books.sync(delete_vanished=True)

    assert books.written() == []
    assert (result["mutation_id"], result["unchanged"], result["objects_skipped"], result["rows_read"]) == (
        None,
        25,
        1,
        0,
    )
    assert {name: content for name, content in books.folder.content.items() if name != "owner.json"} == {
        name: content for name, content in before.items() if name != "owner.json"
    }


def test_sync_rewritten_object_with_same_rows_sends_nothing(books: SyncedIndex) -> None:
    rows = make_rows(25, metadata={"year": 1, "title": "x"})
    books.write("a.ndjson", rows)
    books.sync()
    books.written()
    respelled = b"".join(
        ndjson([{"metadata": {"title": "x", "year": 1.0}, "values": row["values"], "id": row["id"]}]) for row in rows
    )
    books.write("a.ndjson", respelled)

    result = books.sync()

    assert books.written() == []
    assert (result["unchanged"], result["objects_skipped"], result["rows_read"]) == (25, 0, 25)
    assert books.counts() == {"unchanged": 25}


def test_sync_changed_added_and_removed_rows(books: SyncedIndex) -> None:
    rows = make_rows(25)
    books.write("a.ndjson", rows)
    books.sync()
    books.written()
    changed = make_rows(5, seed=1)
    rows = [*changed, *rows[5:20], *make_rows(3, first=100)]
    books.write("a.ndjson", rows)

    result = books.sync(delete_vanished=True)

    assert books.dump() == expected_dump(rows)
    assert [request.vectors for request in books.written()] == [8, 0]
    assert (result["added"], result["changed"], result["unchanged"], result["deleted"]) == (3, 5, 15, 5)
    assert books.counts(delete_vanished=True) == {"unchanged": 23}


def test_sync_removed_rows_stay_without_delete_vanished(books: SyncedIndex) -> None:
    rows = make_rows(25)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", rows[:20])

    assert books.counts() == {"unchanged": 20, "vanished": 5}
    assert books.dump() == expected_dump(rows)
    assert books.counts(delete_vanished=True) == {"unchanged": 20, "vanished": 5, "deleted": 5}
    assert books.dump() == expected_dump(rows[:20])


def test_sync_removed_object_is_deleted(books: SyncedIndex) -> None:
    rows = make_rows(30)
    books.write("a.ndjson", rows[:15])
    books.write("b.ndjson", rows[15:])
    books.sync()
    books.remove("a.ndjson")

    assert books.counts(delete_vanished=True) == {"unchanged": 15, "vanished": 15, "deleted": 15}
    assert books.dump() == expected_dump(rows[15:])


def test_sync_brake_withholds_until_approved(books: SyncedIndex) -> None:
    rows = make_rows(100)
    books.write("a.ndjson", rows)
    books.sync()
    fresh = make_rows(3, first=200)
    books.write("a.ndjson", [*rows[:60], *fresh])

    with pytest.raises(SyncError) as caught:
        books.sync(delete_vanished=True)

    assert caught.value.permanent
    assert "Withheld 40 deletions, because max_deletes allows fewer (10.0% of 100 known vectors)" in str(caught.value)
    assert books.dump() == expected_dump([*rows, *fresh])
    plan = caught.value.plan
    assert f"plan-{plan}.ids.gz" in books.folder.content

    books.write("a.ndjson", [*rows[:61], *fresh])
    result = books.sync(delete_vanished=True, approve=plan)

    assert (result["deleted"], result["withheld"]) == (39, 0)
    assert books.dump() == expected_dump([*rows[:61], *fresh])
    assert plan in books.folder.state.spent
    assert books.counts(delete_vanished=True, approve=plan) == {"unchanged": 64}


def test_vector_that_left_the_source_and_disappeared_is_reported_once(books: SyncedIndex) -> None:
    """It cannot be sent again. The next run deletes it, and does not fail for ever."""
    rows = make_rows(10)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", rows[1:])
    books.sync()
    with books.client() as client:
        client.delete_by_ids("books", ["v0"])

    with pytest.raises(SyncError, match="The index is not what the state says"):
        books.sync(delete_vanished=True)

    assert books.sync(delete_vanished=True)["deleted"] == 1
    assert books.counts(delete_vanished=True) == {"unchanged": 9}


def test_sync_that_sends_every_row_shortens_values_while_it_checks_them(
    books: SyncedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other processes check rows. Values that are shortened after the rows were chosen are shortened by this one."""
    shortened: list[int] = []

    def shorten(data: bytes, ends: list[int], values: np.ndarray) -> tuple[bytes, list[int]]:
        shortened.append(len(ends))
        return shorten_values(data, ends, values)

    monkeypatch.setattr(block_rows, "shorten_values", shorten)
    rows = make_rows(25)
    for changed, reconcile, expected in (
        (rows, False, []),
        (make_rows(2, seed=1) + rows[2:], False, [2]),
        (rows, True, []),
    ):
        shortened.clear()
        books.write("a.ndjson", changed)
        books.sync(load={"float32_text": "always"}, reconcile=reconcile)
        assert (shortened, books.dump()) == (expected, expected_dump(changed))
