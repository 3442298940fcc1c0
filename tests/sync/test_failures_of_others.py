"""Test the failures that other tools had in production. Each test fails on the naive implementation."""

from __future__ import annotations

import gzip

import pytest

from airflow_provider_vectorize.errors import ConfigError, InvalidRequestError, SyncError
from tests.support import Row, create_index, expected_dump, make_rows, ndjson

from .actors import Killed, kill_at
from .support import MemoryFolder, SyncedIndex


def without(rows: list[Row], *ids: str) -> list[Row]:
    return [row for row in rows if row["id"] not in ids]


# ---------------------------------------------------------------- the state is ahead of the index


def test_write_that_failed_is_sent_again(books: SyncedIndex) -> None:
    rows = make_rows(25)
    books.write("a.ndjson", rows)
    books.local.fail("answer", operation="upsert", status=400, code=40026, message="no", after=1)
    with pytest.raises(InvalidRequestError):
        books.sync()

    books.sync()

    assert books.dump() == expected_dump(rows)


def test_delete_that_was_refused_is_sent_again(books: SyncedIndex) -> None:
    rows = make_rows(20)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", rows[:12])
    books.local.fail("answer", operation="delete_by_ids", status=400, code=40026, message="no", after=1)
    with pytest.raises(InvalidRequestError):
        books.sync(delete_vanished=True)

    books.sync(delete_vanished=True)

    assert books.dump() == expected_dump(rows[:12])


def test_row_that_became_bad_keeps_its_vector_and_can_be_deleted_later(books: SyncedIndex) -> None:
    rows = make_rows(10)
    books.write("a.ndjson", rows)
    books.sync()
    bad = {"id": "v3", "values": [1.0]}
    books.write("a.ndjson", [*without(rows, "v3"), bad])

    result = books.sync(delete_vanished=True, dead_letters=True)

    assert (result["rejected"], result["vanished"]) == (1, 0)
    assert books.dump() == expected_dump(rows)

    books.write("a.ndjson", without(rows, "v3"))
    assert books.sync(delete_vanished=True)["deleted"] == 1
    assert books.dump() == expected_dump(without(rows, "v3"))


def test_index_created_again_gets_every_row(books: SyncedIndex) -> None:
    rows = make_rows(25)
    books.write("a.ndjson", rows)
    books.sync()
    books.local.reset()
    create_index(books.local)

    result = books.sync(delete_vanished=True)

    assert books.dump() == expected_dump(rows)
    assert (result["added"], result["objects_skipped"]) == (25, 0)
    assert books.sync()["objects_skipped"] == 1


@pytest.mark.parametrize("deletes_first", [False, True])
def test_index_created_again_keeps_vectors_that_others_wrote_under_our_old_ids(
    books: SyncedIndex, deletes_first: bool
) -> None:
    """A night without deletions hides the new index from people, and the next night deletes."""
    rows = make_rows(25)
    books.write("a.ndjson", rows)
    books.sync()
    books.local.reset()
    create_index(books.local)
    foreign = make_rows(1, seed=1)
    with books.client() as client:
        client.upsert("books", ndjson(foreign))
    books.write("a.ndjson", rows[1:])

    books.sync(delete_vanished=deletes_first)
    books.sync(delete_vanished=True)

    assert books.dump() == expected_dump([*foreign, *rows[1:]])


def test_state_of_another_index_is_refused(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(5))
    books.sync()
    create_index(books.local, "films")
    films = SyncedIndex(books.local, books.path, "films")
    owner = books.folder.content["owner.json"]

    with pytest.raises(ConfigError, match='is the state of a sync into index "books"'):
        films.sync(folder=books.folder)

    assert books.folder.content["owner.json"] == owner


def test_vectors_that_disappeared_are_found_and_sent_again(books: SyncedIndex) -> None:
    """The index lost half of its vectors. Tools that trust their state stay green for ever."""
    rows = make_rows(60)
    books.write("a.ndjson", rows)
    books.sync()
    with books.client() as client:
        client.delete_by_ids("books", [row["id"] for row in rows[::2]])
    books.write("b.ndjson", make_rows(1, first=100))

    with pytest.raises(SyncError, match="The index is not what the state says: 30 of 60 sampled vectors") as caught:
        books.sync(delete_vanished=True)

    assert caught.value.permanent
    assert books.dump() == expected_dump([*rows, *make_rows(1, first=100)])
    assert books.counts() == {"unchanged": 61}


def test_row_that_returns_to_yesterdays_content_after_a_crash_is_sent(books: SyncedIndex) -> None:
    yesterday, today = make_rows(10), make_rows(10, seed=1)
    books.write("a.ndjson", yesterday)
    books.sync()
    books.write("a.ndjson", today)
    with pytest.raises(Killed):
        books.sync(probe=kill_at("before acknowledgement"))
    assert books.dump() == expected_dump(today)

    books.write("a.ndjson", yesterday)
    books.sync()

    assert books.dump() == expected_dump(yesterday)


# ---------------------------------------------------------------- wrong deletions


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_empty_source_deletes_nothing(books: SyncedIndex, content: bytes) -> None:
    rows = make_rows(10)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", content)

    for _ in range(2):  # In the second night, the version of the empty object is the same.
        with pytest.raises(SyncError, match="the source has no good rows"):
            books.sync(delete_vanished=True, max_deletes=1.0)

    assert books.dump() == expected_dump(rows)


def test_empty_source_beside_a_skipped_empty_object_deletes_nothing(books: SyncedIndex) -> None:
    rows = make_rows(10)
    books.write("a.ndjson", rows)
    books.write("empty.ndjson", b"")
    books.sync()
    books.write("a.ndjson", b"")

    with pytest.raises(SyncError, match="the source has no good rows"):
        books.sync(delete_vanished=True, max_deletes=1.0)

    assert books.dump() == expected_dump(rows)


def test_unreadable_object_deletes_nothing_and_the_others_are_synced(books: SyncedIndex) -> None:
    rows = make_rows(30)
    books.write("a.ndjson.gz", rows[:15])
    books.write("b.ndjson", rows[15:])
    books.sync()
    path = books.path / "a.ndjson.gz"
    path.write_bytes(gzip.compress(ndjson(rows[:15]))[:-200])
    fresh = make_rows(2, first=50)
    books.write("b.ndjson", [*rows[15:], *fresh])

    with pytest.raises(SyncError, match="1 object could not be read to the end") as caught:
        books.sync(delete_vanished=True)

    assert not caught.value.permanent
    assert books.dump() == expected_dump([*rows, *fresh])
    books.write("a.ndjson.gz", rows[:15])
    assert books.counts(delete_vanished=True) == {"unchanged": 32}


def test_deletions_wait_for_the_writes(books: SyncedIndex) -> None:
    rows = make_rows(20)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", make_rows(15, first=100))
    books.local.fail("answer", operation="upsert", status=400, code=40026, message="no", after=1)
    with pytest.raises(InvalidRequestError):
        books.sync(delete_vanished=True)

    assert {row["id"] for row in rows} <= set(books.dump())


@pytest.mark.parametrize("line", [b'{"id": "v3", "values": [0.5,', b'{"id": 3, "values": []}', b"\xff\xfe", b"[1]"])
def test_row_without_readable_id_deletes_nothing(books: SyncedIndex, line: bytes) -> None:
    rows = make_rows(10)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", ndjson(without(rows, "v3")) + line + b"\n")

    with pytest.raises(SyncError, match="the ID of 1 row cannot be read"):
        books.sync(delete_vanished=True, dead_letters=True)

    assert books.dump() == expected_dump(rows)


def test_row_with_nan_keeps_its_vector(books: SyncedIndex) -> None:
    rows = make_rows(10)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", [*without(rows, "v3", "v4"), rows[3] | {"values": [float("nan")] * 32}])

    assert books.sync(delete_vanished=True, dead_letters=True)["deleted"] == 1
    assert books.dump() == expected_dump(without(rows, "v4"))


def test_bad_row_in_an_object_that_did_not_change_keeps_its_vector(books: SyncedIndex) -> None:
    """The bad row came first, when the sync did not know the ID. The object of the good row loses it later."""
    rows = make_rows(10)
    bad = b'{"id": "v9", "values": [1]}\n'
    books.write("a.ndjson", ndjson(rows[:5]) + bad)
    books.write("b.ndjson", rows[5:])
    books.sync(dead_letters=True)
    books.write("b.ndjson", rows[5:9])

    result = books.sync(delete_vanished=True, dead_letters=True)

    assert books.dump() == expected_dump(rows)
    assert (result["deleted"], result["rejected"]) == (0, 1)


def test_two_syncs_on_one_index_keep_each_others_vectors(books: SyncedIndex) -> None:
    ours, theirs, folder = make_rows(10), make_rows(10, first=50), MemoryFolder()
    books.write("a.ndjson", ours)
    books.sync()
    books.write("a.ndjson", theirs)
    books.sync(folder=folder)
    books.write("a.ndjson", theirs[:9])

    books.sync(folder=folder, delete_vanished=True)

    assert books.dump() == expected_dump([*ours, *theirs[:9]])


# ---------------------------------------------------------------- brakes


def test_brake_holds_back_deletions_but_not_fresh_rows(books: SyncedIndex) -> None:
    rows, fresh = make_rows(50), make_rows(10, first=100)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", fresh)

    for _ in range(2):  # The task fails every night until somebody approves, so it cannot be overlooked.
        with pytest.raises(SyncError, match="Withheld 50 deletions"):
            books.sync(delete_vanished=True)
        assert books.dump() == expected_dump([*rows, *fresh])


def test_approval_covers_only_what_was_looked_at(books: SyncedIndex) -> None:
    rows = make_rows(100)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", rows[:70])
    with pytest.raises(SyncError) as caught:
        books.sync(delete_vanished=True)
    books.write("a.ndjson", rows[:30])

    with pytest.raises(SyncError, match="Withheld 40 deletions") as second:
        books.sync(delete_vanished=True, approve=caught.value.plan)

    assert books.dump() == expected_dump(rows[:70])
    assert second.value.result is not None
    assert second.value.result["deleted"] == 30
    assert "v30" in str(second.value) or "v3" in str(second.value)


def test_plan_keeps_its_id_until_its_deletions_change(books: SyncedIndex) -> None:
    """Fresh rows are committed between the nights, and the generation is another one."""
    rows = make_rows(100)
    plans = []
    for night, left in enumerate((100, 60, 60, 50, 50, 100, 50)):
        books.write("a.ndjson", [*rows[:left], *make_rows(night, first=200)])
        approve = plans[-1] if night == 4 else None
        try:
            books.sync(delete_vanished=True, approve=approve)
        except SyncError as error:
            plans.append(error.plan)

    assert plans[0] == plans[1]
    assert len(set(plans)) == 3  # The last one deletes the same IDs as one that was carried out.
    assert plans[-1] not in books.folder.state.spent
    assert books.sync(delete_vanished=True, approve=plans[-1])["deleted"] == 50


def test_approval_of_unknown_plan_is_refused(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(5))

    with pytest.raises(ConfigError, match="There is no plan '7-abc'"):
        books.sync(approve="7-abc")

    assert books.written() == []


def test_withheld_id_is_not_forgotten_when_its_object_is_skipped(books: SyncedIndex) -> None:
    rows = make_rows(60)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", rows[:20])
    with pytest.raises(SyncError):
        books.sync(delete_vanished=True)

    result = books.sync(delete_vanished=True, max_deletes=1.0)

    assert (result["objects_skipped"], result["deleted"]) == (1, 40)
    assert books.dump() == expected_dump(rows[:20])
