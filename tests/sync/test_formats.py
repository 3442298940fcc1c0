"""Test syncs of Parquet, and of sources whose fields have other names."""

from __future__ import annotations

import io
from typing import Any

import pytest

from airflow_provider_vectorize.sources.fields import parse_fields
from tests.support import FileObject, Row, expected_dump, make_rows, ndjson

from .support import SyncedIndex


def parquet(rows: list[Row]) -> bytes:
    """Return rows as Parquet."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), target)
    return target.getvalue()


def test_sync_of_parquet_sends_only_changes(books: SyncedIndex) -> None:
    rows = make_rows(30, metadata={"n": 1, "t": "x"}, namespace="s")
    path = books.path / "a.parquet"
    path.write_bytes(parquet(rows))

    def sync(**options: Any) -> dict[str, int]:
        return books.counts(objects=[FileObject(path)], **options)

    assert sync() == {"added": 30}
    path.write_bytes(parquet(rows[::-1]))
    assert sync() == {"unchanged": 30}
    rows = [*make_rows(1, seed=3, metadata={"n": 1, "t": "x"}, namespace="s"), *rows[1:25]]
    path.write_bytes(parquet(rows))
    assert sync(delete_vanished=True) == {"changed": 1, "unchanged": 24, "vanished": 5, "deleted": 5}
    assert books.dump() == expected_dump(rows)


def test_sync_of_mapped_fields_keeps_the_vector_of_a_bad_row(books: SyncedIndex) -> None:
    load = {"fields": parse_fields("fields", {"id": "key", "values": "doc.embedding"})}
    rows = make_rows(10)
    mapped = [{"key": row["id"], "doc": {"embedding": row["values"]}, "id": "not this"} for row in rows]
    books.write("a.ndjson", mapped)
    assert books.counts(load=load) == {"added": 10}
    mapped[3]["doc"] = {}
    books.write("a.ndjson", ndjson(mapped[:9]))

    counts = books.counts(load=load, dead_letters=True, delete_vanished=True)

    assert counts == {"unchanged": 9, "vanished": 1, "deleted": 1}
    assert books.dump() == expected_dump(rows[:9])


def test_sync_with_other_fields_opens_every_object(books: SyncedIndex) -> None:
    rows = [row | {"other": row["values"][::-1]} for row in make_rows(10)]
    books.write("a.ndjson", rows)
    books.sync()

    fields = parse_fields("fields", {"values": "other"})
    result = books.sync(load={"fields": fields})

    assert (result["changed"], result["objects_skipped"]) == (10, 0)
    assert books.dump() == expected_dump({"id": row["id"], "values": row["other"]} for row in rows)
