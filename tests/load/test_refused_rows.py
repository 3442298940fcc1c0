"""Test rows that pass the checks but that Vectorize refuses: they are isolated, and all other rows are loaded."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.errors import BadRowError
from airflow_provider_vectorize.load.receipt import Receipt
from tests.support import MemoryStore, Monitor, Row, expected_dump, make_rows

from .conftest import BooksIndex

#: Vectorize checks nested objects, the load does not.
REFUSED_METADATA = {"a": {"$b": 1}}


def rows_with_refused(count: int, *places: int) -> list[Row]:
    rows = make_rows(count, metadata={"n": 1})
    for place in places:
        rows[place]["metadata"] = REFUSED_METADATA
    return rows


def without(rows: list[Row], *places: int) -> list[Row]:
    return [row for number, row in enumerate(rows) if number not in places]


PLACES = [
    (0,),
    (9,),
    (10,),
    (24,),
    (5, 6),
    (0, 9),
    (3, 13, 23),
    tuple(range(10)),
    tuple(range(20, 25)),
    tuple(range(24)),
]


@pytest.mark.parametrize("places", PLACES, ids=str)
@pytest.mark.parametrize("in_flight", [1, 4])
def test_load_rejects_exactly_the_refused_rows(books: BooksIndex, places: tuple[int, ...], in_flight: int) -> None:
    rows = rows_with_refused(25, *places)

    receipt = books.load(rows, dead_letters=True, max_in_flight=in_flight)

    good = without(rows, *places)
    assert books.dump() == expected_dump(good)
    assert (receipt.vectors, receipt.rejected) == (len(good), len(places))
    letters = books.target.dead_letters()
    assert sorted(letter["line"] for letter in letters) == [place + 1 for place in places]
    lines = books.write_source(rows).uri, [0]
    for letter in letters:
        assert letter["object"] == lines[0]
        assert "Vectorize refuses it: invalid metadata key" in letter["reason"]
        assert "(code 40018)" in letter["reason"]


def test_load_refused_row_fails_and_is_named(books: BooksIndex) -> None:
    rows = rows_with_refused(25, 13)
    with pytest.raises(BadRowError) as caught:
        books.load(rows, max_in_flight=1)
    error = caught.value
    assert (error.line, error.uri) == (14, books.write_source(rows).uri)
    assert error.offset == len(b"".join(books.folder.joinpath("source.ndjson").read_bytes().splitlines(True)[:13]))
    assert "Before that, 10 vectors in 1 batch were acknowledged" in str(error)
    assert "Another 3 vectors of an unfinished batch were written." in str(error)


def test_load_discard_drops_only_unparsable_rows(books: BooksIndex, caplog: pytest.LogCaptureFixture) -> None:
    rows = make_rows(25)
    rows[3]["values"][1] = "1"  # The light check only counts values.
    receipt = books.load(rows, validation="light", unparsable_behavior="discard")
    assert books.dump() == expected_dump(without(rows, 3))
    assert receipt.rejected == 1
    assert "Rejected a row: Vectorize refuses it: failed to parse upsert vectors" in caplog.text
    assert "source.ndjson, dropped)" in caplog.text

    with pytest.raises(BadRowError, match="Line 5 "):
        books.load(rows_with_refused(25, 4), unparsable_behavior="discard")


@pytest.mark.parametrize("validation", ["light", "off"])
def test_load_less_validation_gives_same_result(books: BooksIndex, validation: str) -> None:
    rows = make_rows(100)
    rng = random.Random(3)
    places = sorted(rng.sample(range(100), 12))
    damage: list[Callable[[Row], Any]] = [
        lambda row: row.update(id=7),
        lambda row: row.update(id="é" * 33),
        lambda row: row.update(values=row["values"][:-1]),
        lambda row: row.update(values=[True, *row["values"][1:]]),
        lambda row: row.update(metadata={"a.b": 1}),
        lambda row: row.update(metadata={"k": "x" * 10_300}),
    ]
    for number, place in enumerate(places):
        damage[number % len(damage)](rows[place])

    receipt = books.load(rows, validation=validation, dead_letters=True)

    assert books.dump() == expected_dump(without(rows, *places))
    assert sorted(letter["line"] for letter in books.target.dead_letters()) == [place + 1 for place in places]
    assert (receipt.vectors, receipt.rejected) == (88, 12)


def test_load_max_bad_rows_counts_refused_and_unsent_rows(books: BooksIndex) -> None:
    rows = rows_with_refused(25, 3, 13)
    rows[20]["values"] = [1]
    books.load(rows, dead_letters=True, max_bad_rows=3)
    with pytest.raises(BadRowError, match="More than max_bad_rows=2 rows are bad"):
        books.load(rows, dead_letters=True, max_bad_rows=2)


def test_load_lower_server_limit_costs_requests_but_no_rows(start_limited_index: Callable[..., BooksIndex]) -> None:
    rows = make_rows(40)
    for limits in ({"vectors_per_request": 4}, {"body_bytes": 3_000}):
        books = start_limited_index(**limits)
        receipt = books.load(rows)
        assert books.dump() == expected_dump(rows)
        assert (receipt.vectors, receipt.rejected) == (40, 0)
        assert receipt.batches > 4


def test_load_row_larger_than_request_limit_is_rejected(start_limited_index: Callable[..., BooksIndex]) -> None:
    rows = make_rows(10)
    rows[4]["x"] = "y" * 5_000
    books = start_limited_index(body_bytes=3_000)
    receipt = books.load(rows, dead_letters=True)
    assert books.dump() == expected_dump(without(rows, 4))
    assert receipt.rejected == 1


@pytest.mark.parametrize("in_flight", [1, 4])
def test_load_refused_last_batch_is_sealed_with_marker(books: BooksIndex, in_flight: int) -> None:
    """Without a marker, the last mutation would not stand for the batches that were in flight with it."""
    rows = rows_with_refused(41, 40)
    books.local.hold()
    books.local.fail("delay", operation="upsert", seconds=0.1, times=1, after=1)

    receipt = books.load(rows, dead_letters=True, max_in_flight=in_flight)

    assert receipt.sealed
    (marker,) = books.local.requests("delete_by_ids")
    assert marker.mutation_id == receipt.mutation_id == receipt.mutation_ids[-1]
    upserts = [request for request in books.local.requests("upsert") if request.mutation_id]
    assert all(request.ended < marker.started for request in upserts)
    assert receipt.batches == len(upserts)
    books.local.process("books")
    monitor = Monitor(books.local, receipt.to_dict())
    assert monitor.check().visible
    assert books.dump() == expected_dump(rows[:40])


def test_load_acknowledged_last_batch_needs_no_marker(books: BooksIndex) -> None:
    assert books.load(make_rows(100)).sealed
    assert not books.local.requests("delete_by_ids")


def test_load_retry_writes_each_refused_row_once(books: BooksIndex) -> None:
    rows = rows_with_refused(60, 5, 25, 26, 45)
    source = books.write_source(rows)
    store = MemoryStore()
    books.local.fail("answer", operation="upsert", status=403, code=10000, after=9, times=None)
    with pytest.raises(Exception, match="code 10000"):
        books.load(source, dead_letters=True, store=store)
    books.local.clear_faults()
    assert store.value["receipt"]["vectors"] > 0

    receipt = books.load(source, dead_letters=True, store=store)

    assert sorted(letter["line"] for letter in books.target.dead_letters()) == [6, 26, 27, 46]
    assert (receipt.vectors, receipt.rejected) == (56, 4)
    assert isinstance(receipt, Receipt)
    assert books.dump() == expected_dump(without(rows, 5, 25, 26, 45))
