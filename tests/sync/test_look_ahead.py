"""Test the look-ahead: the sample is spread over the source, so that it estimates the share of changed vectors."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet
import pytest

from airflow_provider_vectorize.errors import SyncError
from tests.support import FileObject, Row, expected_dump, make_rows

from .support import SyncedIndex


def write_parquet(books: SyncedIndex, rows: list[Row], row_group: int) -> None:
    table = pa.table({
        "id": [row["id"] for row in rows],
        "values": pa.array([row["values"] for row in rows], pa.list_(pa.float64())),
    })
    pyarrow.parquet.write_table(table, books.path / "a.parquet", row_group_size=row_group)


def with_version(rows: list[Row], version: int) -> list[Row]:
    return [row | {"metadata": {"version": version}} for row in rows]


def test_look_ahead_changed_rows_at_the_beginning_of_a_large_object_do_not_stop(books: SyncedIndex) -> None:
    """A source that is sorted by the time of the change has all changed rows at its beginning."""
    rows = make_rows(2_000)
    books.write("a.ndjson", rows)
    books.sync()
    sorted_by_time = [*make_rows(300, seed=1), *rows[300:]]
    books.write("a.ndjson", sorted_by_time)

    assert books.counts() == {"changed": 300, "unchanged": 1_700}
    assert books.dump() == expected_dump(sorted_by_time)


def test_look_ahead_changed_rows_at_the_beginning_of_a_block_do_not_stop(books: SyncedIndex) -> None:
    rows = make_rows(600)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", [*make_rows(210, seed=1), *rows[210:]])

    assert books.counts() == {"changed": 210, "unchanged": 390}


def test_look_ahead_changed_row_groups_at_the_beginning_do_not_stop(books: SyncedIndex) -> None:
    rows = make_rows(4_000)
    write_parquet(books, rows, 500)
    books.sync(objects=parquet_objects(books))
    write_parquet(books, [*make_rows(1_000, seed=1), *rows[1_000:]], 500)

    assert books.counts(objects=parquet_objects(books)) == {"changed": 1_000, "unchanged": 3_000}


def test_look_ahead_many_small_changed_objects_beside_a_large_one_do_not_stop(books: SyncedIndex) -> None:
    rows = make_rows(2_000)
    books.write("z.ndjson", rows)
    write_small_objects(books, seed=0)
    books.sync()
    write_small_objects(books, seed=1)
    books.write("z.ndjson", rows[::-1])

    assert books.counts() == {"changed": 100, "unchanged": 2_000}


def test_look_ahead_most_objects_changed_stops_wherever_they_are(books: SyncedIndex) -> None:
    for number in range(30):
        books.write(f"{number:02}.ndjson", make_rows(5, first=5 * number))
    books.sync()
    for number in range(30):
        rows = make_rows(5, first=5 * number, seed=number >= 12)
        books.write(f"{number:02}.ndjson", rows[::-1])

    with pytest.raises(SyncError, match=r"known vectors changed \((5|6)"):
        books.sync()


def test_look_ahead_object_that_cannot_be_read_leaves_the_others_in_the_sample(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(100))
    books.write("b.ndjson.gz", make_rows(20, first=100))
    books.sync()
    books.write("a.ndjson", make_rows(100, seed=1))
    (books.path / "b.ndjson.gz").write_bytes(b"no gzip")

    with pytest.raises(SyncError, match="known vectors changed"):
        books.sync()


def parquet_objects(books: SyncedIndex) -> list[object]:
    return [FileObject(books.path / "a.parquet")]


def write_small_objects(books: SyncedIndex, seed: int) -> None:
    for number in range(20):
        books.write(f"{number:02}.ndjson", make_rows(5, first=3_000 + 5 * number, seed=seed))


def test_look_ahead_object_of_rows_whose_key_changed_does_not_stop(books: SyncedIndex) -> None:
    """If a key has changed, so have the values. That is no sign of another embedding model."""
    first, second, changed = make_rows(200), make_rows(20, first=1_000), make_rows(20, first=1_000, seed=1)
    books.write("a.ndjson", with_version(first, 1))
    books.write("b.ndjson", with_version(second, 1))
    books.sync(changed_by="metadata.version")
    books.write("b.ndjson", with_version(changed, 2))

    assert books.counts(changed_by="metadata.version") == {"changed": 20, "unchanged": 200}


def test_look_ahead_another_model_beside_changed_keys_stops(books: SyncedIndex) -> None:
    books.write("a.ndjson", with_version(make_rows(100), 1))
    books.sync(changed_by="metadata.version")
    other_model = make_rows(100, seed=1)
    books.write("a.ndjson", [*with_version(other_model[:40], 2), *with_version(other_model[40:], 1)])

    with pytest.raises(SyncError, match="20 of 20 sampled vectors are not similar"):
        books.sync(changed_by="metadata.version")
