"""Which vector wins, and what comes last: with several requests in flight as with one."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.support import make_rows, truth

from .conftest import Books


def with_repeats(count: int, ids: int, seed: int) -> list[dict[str, Any]]:
    """Rows of which many share an id, near to each other and far apart."""
    rng = random.Random(seed)
    return [row | {"id": f"v{rng.randrange(ids)}"} for row in make_rows(count, seed=seed)]


def slow_down(books: Books, seed: int) -> None:
    """Delays by which batches would overtake each other if nothing held them back."""
    for operation in ("insert", "upsert"):
        books.local.fail("delay", operation=operation, seconds=0.05, probability=0.4, times=None, seed=seed)


@pytest.mark.parametrize("operation", ["insert", "upsert"])
@pytest.mark.parametrize("seed", range(4))
def test_the_first_wins_an_insert_and_the_last_an_upsert(books: Books, operation: str, seed: int) -> None:
    rows = with_repeats(400, 300, seed)
    slow_down(books, seed)

    receipt = books.load(rows, operation, max_in_flight=8)

    assert books.dump() == truth(rows, operation)
    assert (receipt.vectors, receipt.batches) == (400, 40)


@pytest.mark.parametrize("validation", ["light", "off"])
@pytest.mark.parametrize("id_first", [True, False])
def test_the_order_is_kept_though_ids_are_not_looked_at(books: Books, validation: str, id_first: bool) -> None:
    rows = with_repeats(200, 150, 5)
    if not id_first:
        rows = [{"values": row["values"], "id": row["id"]} for row in rows]
    slow_down(books, 6)

    receipt = books.load(rows, validation=validation, max_in_flight=8)

    assert books.dump() == truth(rows)
    assert receipt.samples


def test_ids_that_are_spelt_otherwise_are_the_same_ids(books: Books) -> None:
    rows = make_rows(4)
    texts = [json.dumps(row) for row in rows]
    for validation in ("full", "light", "off"):
        lines = [text.replace('"v1"', '"\\u0076\\u0030"').replace('"v2"', '"v0"') for text in texts]
        books.local.fail("delay", operation="upsert", seconds=0.1)
        books.load("\n".join(lines).encode(), per_request=1, validation=validation, max_in_flight=4)
        rows[1]["id"] = rows[2]["id"] = "v0"
        assert books.dump() == truth(rows)


@pytest.mark.parametrize("validation", ["full", "light", "off"])
@pytest.mark.parametrize("again", ['"id"', '"\\u0069d"', '"i\\u0064"'])
def test_the_order_is_kept_where_a_row_has_its_id_twice(books: Books, validation: str, again: str) -> None:
    """The last one counts in JSON. The first row is slow, so the second would overtake it."""
    rows = make_rows(3)
    texts = [json.dumps(row).encode() for row in rows]
    texts[0] = texts[0].removesuffix(b"}") + b", " + again.encode() + b': "v1"}'
    books.local.fail("delay", operation="upsert", seconds=0.3, times=1)
    books.load(b"\n".join(texts), per_request=1, validation=validation, max_in_flight=4)
    assert books.dump() == truth(rows[1:])


def test_ids_in_metadata_do_not_keep_batches_apart(books: Books) -> None:
    books.local.fail("delay", operation="upsert", seconds=0.2, times=None)
    books.load(make_rows(80, metadata={"id": "x", "text": "\u0069d"}), validation="off", max_in_flight=4)
    writes = books.writes()
    assert max(sum(a.started <= b.started < a.ended for a in writes) for b in writes) == 4  # type: ignore[operator]


def test_batches_that_share_no_id_do_travel_at_the_same_time(books: Books) -> None:
    books.local.fail("delay", operation="upsert", seconds=0.2, times=None)
    books.load(make_rows(80), max_in_flight=4)
    writes = books.writes()
    assert max(sum(a.started <= b.started < a.ended for a in writes) for b in writes) == 4  # type: ignore[operator]


def test_the_last_batch_is_sent_when_all_others_are_acknowledged(books: Books) -> None:
    for seed in range(5):
        books.local.clear_requests()
        slow_down(books, seed)
        receipt = books.load(make_rows(75, first=100 * seed), max_in_flight=8)
        *others, last = books.writes()
        assert receipt.mutation_id == last.mutation_id == receipt.mutation_ids[-1]
        assert receipt.sealed
        assert all(one.ended is not None and one.ended <= last.started for one in others)


def test_each_request_that_may_have_been_carried_out_is_sent_again_and_changes_nothing(books: Books) -> None:
    rows = with_repeats(200, 150, 9)
    for fault in ("cut_after_body", "not_json", "no_mutation_id", "cut_during_answer"):
        books.local.fail(fault, operation="upsert", probability=0.3, times=5, seed=1)
    receipt = books.load(rows, max_in_flight=4)
    assert books.dump() == truth(rows)
    assert len(books.acknowledged()) > receipt.batches == 20


def test_twenty_thousand_vectors_inserted_and_then_upserted(books: Books) -> None:
    first, second = make_rows(20_000, seed=1), make_rows(20_000, seed=2)
    first[15_000]["id"] = first[3]["id"]
    second[15_000]["id"] = second[3]["id"]
    inserted = books.load(first, "insert", per_request=5_000)
    assert books.local.count("books") == 19_999
    assert books.dump() == truth(first, "insert")

    again = books.load(second, "insert", per_request=5_000)
    assert books.dump() == truth(second, "insert", truth(first, "insert"))

    upserted = books.load(second, "upsert", per_request=5_000)
    assert books.dump() == truth(second, "upsert", truth(first, "insert"))

    for receipt in (inserted, again, upserted):
        assert (receipt.vectors, receipt.batches, receipt.rejected) == (20_000, 4, 0)
    assert upserted.bytes_sent == sum(one.body_bytes for one in books.local.requests("upsert"))
    *others, last = [str(one.mutation_id) for one in books.local.requests("upsert")]
    assert sorted(upserted.mutation_ids[:-1]) == sorted(others)  # they travelled at the same time
    assert upserted.mutation_id == last
