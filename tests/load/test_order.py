"""Test which vector wins and which batch is sent last, with one and with several requests in flight."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import RecordedRequest
from tests.support import expected_dump, make_rows

from .conftest import BooksIndex


def rows_with_duplicate_ids(count: int, ids: int, seed: int) -> list[dict[str, Any]]:
    """Return rows of which many share an ID, close to each other and far apart."""
    rng = random.Random(seed)
    return [row | {"id": f"v{rng.randrange(ids)}"} for row in make_rows(count, seed=seed)]


def delay_requests(books: BooksIndex, seed: int) -> None:
    """Delay requests, so that batches would overtake each other if nothing held them back."""
    for operation in ("insert", "upsert"):
        books.local.fail("delay", operation=operation, seconds=0.05, probability=0.4, times=None, seed=seed)


def most_concurrent(requests: list[RecordedRequest]) -> int:
    """Return the maximum number of requests that were open at the same time."""
    return max(sum(a.started <= b.started < a.ended for a in requests) for b in requests)  # type: ignore[operator]


@pytest.mark.parametrize("operation", ["insert", "upsert"])
@pytest.mark.parametrize("seed", range(4))
def test_load_duplicate_ids_first_insert_and_last_upsert_win(books: BooksIndex, operation: str, seed: int) -> None:
    rows = rows_with_duplicate_ids(400, 300, seed)
    delay_requests(books, seed)

    receipt = books.load(rows, operation, max_in_flight=8)

    assert books.dump() == expected_dump(rows, operation)
    assert (receipt.vectors, receipt.batches) == (400, 40)


@pytest.mark.parametrize("validation", ["light", "off"])
@pytest.mark.parametrize("id_first", [True, False])
def test_load_without_validation_keeps_order(books: BooksIndex, validation: str, id_first: bool) -> None:
    rows = rows_with_duplicate_ids(200, 150, 5)
    if not id_first:
        rows = [{"values": row["values"], "id": row["id"]} for row in rows]
    delay_requests(books, 6)

    receipt = books.load(rows, validation=validation, max_in_flight=8)

    assert books.dump() == expected_dump(rows)
    assert receipt.samples


def test_load_escaped_ids_equal_plain_ids(books: BooksIndex) -> None:
    rows = make_rows(4)
    texts = [json.dumps(row) for row in rows]
    for validation in ("full", "light", "off"):
        lines = [text.replace('"v1"', '"\\u0076\\u0030"').replace('"v2"', '"v0"') for text in texts]
        books.local.fail("delay", operation="upsert", seconds=0.1)
        books.load("\n".join(lines).encode(), per_request=1, validation=validation, max_in_flight=4)
        rows[1]["id"] = rows[2]["id"] = "v0"
        assert books.dump() == expected_dump(rows)


@pytest.mark.parametrize("validation", ["full", "light", "off"])
@pytest.mark.parametrize("again", ['"id"', '"\\u0069d"', '"i\\u0064"'])
def test_load_row_with_two_id_keys_keeps_order(books: BooksIndex, validation: str, again: str) -> None:
    """The last key counts in JSON. The request of the first row is slow, so that the second could overtake it."""
    rows = make_rows(3)
    texts = [json.dumps(row).encode() for row in rows]
    texts[0] = texts[0].removesuffix(b"}") + b", " + again.encode() + b': "v1"}'
    books.local.fail("delay", operation="upsert", seconds=0.3, times=1)
    books.load(b"\n".join(texts), per_request=1, validation=validation, max_in_flight=4)
    assert books.dump() == expected_dump(rows[1:])


def test_load_ids_in_metadata_do_not_serialize_batches(books: BooksIndex) -> None:
    books.local.fail("delay", operation="upsert", seconds=0.2, times=None)
    books.load(make_rows(80, metadata={"id": "x", "text": "\u0069d"}), validation="off", max_in_flight=4)
    writes = books.write_requests()
    assert most_concurrent(writes) == 4


def test_load_batches_with_different_ids_run_concurrently(books: BooksIndex) -> None:
    books.local.fail("delay", operation="upsert", seconds=0.2, times=None)
    books.load(make_rows(80), max_in_flight=4)
    writes = books.write_requests()
    assert most_concurrent(writes) == 4


def test_load_last_batch_is_sent_after_all_others(books: BooksIndex) -> None:
    for seed in range(5):
        books.local.clear_requests()
        delay_requests(books, seed)
        receipt = books.load(make_rows(75, first=100 * seed), max_in_flight=8)
        *others, last = books.write_requests()
        assert receipt.mutation_id == last.mutation_id == receipt.mutation_ids[-1]
        assert receipt.sealed
        assert all(request.ended is not None and request.ended <= last.started for request in others)


def test_load_repeated_requests_change_nothing(books: BooksIndex) -> None:
    rows = rows_with_duplicate_ids(200, 150, 9)
    for fault in ("cut_after_body", "not_json", "no_mutation_id", "cut_during_answer"):
        books.local.fail(fault, operation="upsert", probability=0.3, times=5, seed=1)
    receipt = books.load(rows, max_in_flight=4)
    assert books.dump() == expected_dump(rows)
    assert len(books.acknowledged_requests()) > receipt.batches == 20


def test_load_20000_vectors_inserted_then_upserted(books: BooksIndex) -> None:
    first, second = make_rows(20_000, seed=1), make_rows(20_000, seed=2)
    first[15_000]["id"] = first[3]["id"]
    second[15_000]["id"] = second[3]["id"]
    inserted = books.load(first, "insert", per_request=5_000)
    assert books.local.count("books") == 19_999
    assert books.dump() == expected_dump(first, "insert")

    again = books.load(second, "insert", per_request=5_000)
    assert books.dump() == expected_dump(second, "insert", expected_dump(first, "insert"))

    upserted = books.load(second, "upsert", per_request=5_000)
    assert books.dump() == expected_dump(second, "upsert", expected_dump(first, "insert"))

    for receipt in (inserted, again, upserted):
        assert (receipt.vectors, receipt.batches, receipt.rejected) == (20_000, 4, 0)
    assert upserted.bytes_sent == sum(request.body_bytes for request in books.local.requests("upsert"))
    *others, last = [str(request.mutation_id) for request in books.local.requests("upsert")]
    assert sorted(upserted.mutation_ids[:-1]) == sorted(others)  # These requests ran concurrently.
    assert upserted.mutation_id == last
