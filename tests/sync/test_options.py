"""Test the options of a sync: reconcile, foreign IDs, dry runs, keys instead of rows, and the look-ahead."""

from __future__ import annotations

import pytest

from airflow_provider_vectorize.errors import BadRowError, ConfigError, SyncError
from airflow_provider_vectorize.sync.decisions import parse_max_deletes
from airflow_provider_vectorize.sync.options import changed_by
from airflow_provider_vectorize.sync.plans import read_ids
from tests.support import expected_dump, make_rows

from .support import SyncedIndex


def test_reconcile_repairs_values_that_another_writer_changed(books: SyncedIndex) -> None:
    rows = make_rows(20)
    books.write("a.ndjson", rows)
    books.sync()
    with books.client() as client:
        for row in make_rows(1, first=4, seed=5):
            client.upsert("books", books.ndjson([row]))

    result = books.sync(reconcile=True)

    assert (result["changed"], result["unchanged"]) == (20, 0)
    assert books.dump() == expected_dump(rows)


def test_report_foreign_names_ids_that_the_sync_does_not_know(books: SyncedIndex) -> None:
    rows = make_rows(10)
    books.write("a.ndjson", rows)
    with books.client() as client:
        client.upsert("books", books.ndjson(make_rows(3, first=500)))

    result = books.sync(report_foreign=True, delete_vanished=True)

    assert result["foreign"] == 3
    assert sorted(read_ids(books.folder, "foreign-1.ids.gz")) == ["v500", "v501", "v502"]
    assert len(books.dump()) == 13


def test_dry_run_returns_the_counts_of_the_run_and_writes_nothing(books: SyncedIndex) -> None:
    rows = make_rows(40)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", [*make_rows(2, seed=3), *rows[2:35], *make_rows(3, first=90)])
    books.written()
    before = dict(books.folder.content)

    dry = books.sync(delete_vanished=True, dry_run=True)

    assert books.written() == []
    assert books.folder.content == before
    assert books.dump() == expected_dump(rows)
    real = books.sync(delete_vanished=True)
    names = ("added", "changed", "unchanged", "vanished", "deleted", "withheld", "unknown", "duplicates", "rows_read")
    assert {name: dry[name] for name in names} == {name: real[name] for name in names}
    assert (dry["mutation_id"], dry["dry_run"], dry["vectors"]) == (None, True, 5)


def test_changed_by_key_ignores_values_that_jitter(books: SyncedIndex) -> None:
    rows = make_rows(40, metadata={"text_hash": "a", "seen": 1})
    books.write("a.ndjson", rows)
    books.sync(changed_by="metadata.text_hash")
    jitter = [row | {"values": [value + 1e-6 for value in row["values"]]} for row in rows]
    jitter[3] = jitter[3] | {"metadata": {"text_hash": "b"}}
    books.write("a.ndjson", jitter)

    assert books.counts(changed_by="metadata.text_hash") == {"changed": 1, "unchanged": 39}


def test_changed_by_key_stops_if_the_values_come_from_another_model(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(40, metadata={"text_hash": "a"}))
    books.sync(changed_by="metadata.text_hash")
    books.write("a.ndjson", make_rows(40, seed=9, metadata={"text_hash": "a"}))

    with pytest.raises(SyncError, match="20 of 20 sampled vectors are not similar"):
        books.sync(changed_by="metadata.text_hash")


def test_changed_by_another_key_sends_every_row(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(10, metadata={"k": "a"}))
    books.sync()

    assert books.counts(changed_by="metadata.k") == {"changed": 10}


def test_look_ahead_stops_before_anything_is_sent_until_approved(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(100))
    books.sync()
    books.written()
    other_model = make_rows(100, seed=1)
    books.write("a.ndjson", other_model)

    with pytest.raises(SyncError, match="about 100 of 100 known vectors changed") as caught:
        books.sync()
    with pytest.raises(SyncError) as again:
        books.sync()

    assert books.written() == []
    assert again.value.plan == caught.value.plan
    assert books.counts(approve=caught.value.plan) == {"changed": 100}
    assert books.dump() == expected_dump(other_model)
    books.write("a.ndjson", make_rows(100, seed=2))
    with pytest.raises(SyncError):
        books.sync(approve=caught.value.plan)  # An approval counts once.


def test_ids_twice_in_one_object_last_one_wins(books: SyncedIndex, caplog: pytest.LogCaptureFixture) -> None:
    rows = make_rows(15)
    twice = [*rows, *make_rows(2, seed=4), rows[5]]
    books.write("a.ndjson", twice)

    assert books.counts() == {"added": 15, "duplicates": 3}
    assert books.dump() == expected_dump(twice)
    assert "v0, v1" in caplog.text
    books.write("b.ndjson", make_rows(1, first=50))
    assert books.sync()["objects_skipped"] == 1


def test_id_in_two_objects_is_won_by_the_last_one_whichever_changes(books: SyncedIndex) -> None:
    first, last = make_rows(5), make_rows(1, seed=1)
    books.write("a.ndjson", first)
    books.write("b.ndjson", last)
    books.sync()
    assert books.dump() == expected_dump([*first, *last])
    books.write("a.ndjson", make_rows(5, seed=2))

    books.sync()

    assert books.dump() == expected_dump([*make_rows(5, seed=2), *last])


def test_id_that_moves_to_an_earlier_object_opens_the_later_one(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(3))
    books.write("b.ndjson", make_rows(3, first=10))
    books.sync()
    moved = [*make_rows(3), make_rows(1, first=10, seed=7)[0]]
    books.write("a.ndjson", moved)

    books.sync(delete_vanished=True)

    assert books.dump() == expected_dump([*moved, *make_rows(3, first=10)])


def test_bad_row_fails_the_sync_by_default(books: SyncedIndex) -> None:
    books.write("a.ndjson", [*make_rows(3), {"id": "x", "values": [1]}])

    with pytest.raises(BadRowError, match="Line 4"):
        books.sync()


def test_row_that_vectorize_refuses_is_not_entered(books: SyncedIndex) -> None:
    rows = make_rows(12)
    books.write("a.ndjson", rows)
    books.local.fail("answer", operation="upsert", status=400, code=40015, message="no", times=6)

    result = books.sync(dead_letters=True)

    assert result["rejected"] == 12 - result["vectors"]
    assert books.folder.state.columns.ids == result["vectors"] == len(books.dump())


def test_row_that_vectorize_refuses_is_sent_again_although_its_object_did_not_change(books: SyncedIndex) -> None:
    rows = make_rows(12)
    books.write("a.ndjson", rows)
    books.local.fail("answer", operation="upsert", status=400, code=40015, message="no", times=6)
    assert books.sync(dead_letters=True)["rejected"]

    books.sync(dead_letters=True)

    assert books.dump() == expected_dump(rows)


@pytest.mark.parametrize(("value", "parsed"), [(0.1, 0.1), ("0.25", 0.25), (30, 30), ("30", 30), (1, 1), (1.0, 1.0)])
def test_parse_max_deletes_accepts_shares_and_numbers(value: object, parsed: object) -> None:
    result = parse_max_deletes("max_deletes", value)
    assert result == parsed
    assert type(result) is type(parsed)


@pytest.mark.parametrize("value", [-1, 1.5, "ten", None, True])
def test_parse_max_deletes_refuses_others(value: object) -> None:
    with pytest.raises(ConfigError, match="max_deletes must be a share"):
        parse_max_deletes("max_deletes", value)


@pytest.mark.parametrize("value", ["rows", "metadata", "metadata.", None, "values"])
def test_changed_by_refuses_others(value: object) -> None:
    with pytest.raises(ConfigError, match="changed_by must be 'row'"):
        changed_by("changed_by", value)
