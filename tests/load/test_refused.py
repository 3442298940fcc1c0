"""Rows that Vectorize refuses though they passed the checks: found one by one, and nobody else suffers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.errors import BadRowError
from airflow_provider_vectorize.load.receipt import Receipt
from tests.support import MemoryStore, Monitor, Row, make_rows, truth

from .conftest import Books

#: Vectorize looks into nested objects, the load does not.
POISON = {"a": {"$b": 1}}


def poisoned(count: int, *places: int) -> list[Row]:
    rows = make_rows(count, metadata={"n": 1})
    for place in places:
        rows[place]["metadata"] = POISON
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
def test_exactly_the_rows_that_are_refused_are_set_aside(books: Books, places: tuple[int, ...], in_flight: int) -> None:
    rows = poisoned(25, *places)

    receipt = books.load(rows, dead_letters=True, max_in_flight=in_flight)

    good = without(rows, *places)
    assert books.dump() == truth(good)
    assert (receipt.vectors, receipt.rejected) == (len(good), len(places))
    letters = books.target.letters()
    assert sorted(one["line"] for one in letters) == [place + 1 for place in places]
    lines = books.file(rows).uri, [0]
    for letter in letters:
        assert letter["object"] == lines[0]
        assert "Vectorize refuses it: invalid metadata key" in letter["reason"]
        assert "(code 40018)" in letter["reason"]


def test_a_load_that_does_not_tolerate_it_fails_and_names_the_row(books: Books) -> None:
    rows = poisoned(25, 13)
    with pytest.raises(BadRowError) as caught:
        books.load(rows, max_in_flight=1)
    error = caught.value
    assert (error.line, error.uri) == (14, books.file(rows).uri)
    assert error.offset == len(b"".join(books.folder.joinpath("source.ndjson").read_bytes().splitlines(True)[:13]))
    assert "Before that, 10 vectors in 1 batch were acknowledged" in str(error)
    assert "Another 3 vectors of an unfinished batch were written." in str(error)


def test_discard_takes_what_vectorize_cannot_parse_and_nothing_else(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    rows = make_rows(25)
    rows[3]["values"][1] = "1"  # the light check only counts values
    receipt = books.load(rows, validation="light", unparsable_behavior="discard")
    assert books.dump() == truth(without(rows, 3))
    assert receipt.rejected == 1
    assert "Rejected a row: Vectorize refuses it: failed to parse upsert vectors" in caplog.text
    assert "source.ndjson, dropped)" in caplog.text

    with pytest.raises(BadRowError, match="Line 5 "):
        books.load(poisoned(25, 4), unparsable_behavior="discard")


@pytest.mark.parametrize("validation", ["light", "off"])
def test_less_checking_ends_with_the_same_vectors_and_the_same_bad_rows(books: Books, validation: str) -> None:
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

    assert books.dump() == truth(without(rows, *places))
    assert sorted(one["line"] for one in books.target.letters()) == [place + 1 for place in places]
    assert (receipt.vectors, receipt.rejected) == (88, 12)


def test_max_bad_rows_counts_those_that_are_refused_and_those_that_are_not_sent(books: Books) -> None:
    rows = poisoned(25, 3, 13)
    rows[20]["values"] = [1]
    books.load(rows, dead_letters=True, max_bad_rows=3)
    with pytest.raises(BadRowError, match="It is one more than max_bad_rows=2 allows"):
        books.load(rows, dead_letters=True, max_bad_rows=2)


def test_a_limit_of_vectorize_that_is_lower_than_ours_costs_requests_and_no_rows(smaller: Callable[..., Books]) -> None:
    rows = make_rows(40)
    for limits in ({"vectors_per_request": 4}, {"body_bytes": 3_000}):
        books = smaller(**limits)
        receipt = books.load(rows)
        assert books.dump() == truth(rows)
        assert (receipt.vectors, receipt.rejected) == (40, 0)
        assert receipt.batches > 4


def test_a_row_larger_than_a_request_may_be_is_a_bad_row(smaller: Callable[..., Books]) -> None:
    rows = make_rows(10)
    rows[4]["x"] = "y" * 5_000
    books = smaller(body_bytes=3_000)
    receipt = books.load(rows, dead_letters=True)
    assert books.dump() == truth(without(rows, 4))
    assert receipt.rejected == 1


@pytest.mark.parametrize("in_flight", [1, 4])
def test_load_whose_last_batch_is_refused_seals_itself_with_a_marker(books: Books, in_flight: int) -> None:
    """Nothing was sent after the others: without a marker the last mutation would stand for one of several."""
    rows = poisoned(41, 40)
    books.local.hold()
    books.local.fail("delay", operation="upsert", seconds=0.1, times=1, after=1)

    receipt = books.load(rows, dead_letters=True, max_in_flight=in_flight)

    assert receipt.sealed
    (marker,) = books.local.requests("delete_by_ids")
    assert marker.mutation_id == receipt.mutation_id == receipt.mutation_ids[-1]
    upserts = [one for one in books.local.requests("upsert") if one.mutation_id]
    assert all(one.ended < marker.started for one in upserts)
    assert receipt.batches == len(upserts)
    books.local.process("books")
    monitor = Monitor(books.local, receipt.to_dict())
    assert monitor.check().visible
    assert books.dump() == truth(rows[:40])


def test_load_that_writes_its_last_batch_sends_no_marker(books: Books) -> None:
    assert books.load(make_rows(100)).sealed
    assert not books.local.requests("delete_by_ids")


def test_a_retry_meets_the_same_refused_rows_and_writes_each_down_once(books: Books) -> None:
    rows = poisoned(60, 5, 25, 26, 45)
    source = books.file(rows)
    store = MemoryStore()
    books.local.fail("answer", operation="upsert", status=403, code=10000, after=9, times=None)
    with pytest.raises(Exception, match="code 10000"):
        books.load(source, dead_letters=True, store=store)
    books.local.clear_faults()
    assert store.value["receipt"]["vectors"] > 0

    receipt = books.load(source, dead_letters=True, store=store)

    assert sorted(one["line"] for one in books.target.letters()) == [6, 26, 27, 46]
    assert (receipt.vectors, receipt.rejected) == (56, 4)
    assert isinstance(receipt, Receipt)
    assert books.dump() == truth(without(rows, 5, 25, 26, 45))
