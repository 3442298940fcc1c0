"""Waiting against the local Vectorize: folded batches, other writers, backlogs, replicas that flap, indexes that go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import AuthError
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.look import Look, look
from airflow_provider_vectorize.visibility import ALL_QUIET, IN_ORDER, LATER_BATCHES, READ_BACK, WATERMARK
from airflow_provider_vectorize.waits import waits_for
from tests.support import client_of, make_rows, truth

from .conftest import Books

Watch = Callable[..., Look]


@pytest.fixture
def watch(books: Books) -> Iterator[Watch]:
    """Look once more, with what was seen before."""
    seen: dict[str, Any] = {}
    with client_of(books.local, retry=RetryPolicy(total=0), reserve=0) as client:

        def again(*mutations: Any, index_name: str | None = None, with_client: VectorizeClient = client) -> Look:
            plain = [one.to_dict() if isinstance(one, Receipt) else one for one in mutations]
            found = look(with_client, waits_for(plain, index_name), seen)
            seen.clear()
            seen.update(json.loads(json.dumps(found.seen)))
            return found

        yield again


@pytest.fixture
def held(books: Books) -> Books:
    """Nothing is folded unless a test says so."""
    books.local.hold()
    return books


def test_two_loads_that_were_folded_into_one_batch_are_both_seen(held: Books, watch: Watch) -> None:
    first, second = held.load(make_rows(30)), held.load(make_rows(30, first=100))
    assert not watch(first, second).visible
    (batch,) = held.local.process("books")
    assert set(batch["mutation_ids"]) == {*first.mutation_ids, *second.mutation_ids}
    found = watch(first, second)
    assert found.visible
    assert READ_BACK in found.text
    assert WATERMARK in found.text


def test_a_watermark_that_others_moved_does_not_hide_the_load_nor_show_it_too_early(held: Books, watch: Watch) -> None:
    held.local.foreign_mutation("books")
    receipt = held.load(make_rows(30))
    held.local.process("books", batches=1)
    receipt = held.load(make_rows(30, first=100))
    held.local.foreign_mutation("books", times=3)
    assert not watch(receipt).visible
    held.local.process("books")
    assert watch(receipt).visible


def test_a_batch_that_ended_after_the_acknowledgement_but_began_before_is_not_taken_for_it(
    smaller: Callable[..., Books],
) -> None:
    """Last night's vectors are there, and the watermark's time has passed: the old rule said visible."""
    books = smaller(mutations_per_batch=2)
    rows = make_rows(60)
    books.load(rows)
    books.local.process()
    books.local.hold()
    changed = [dict(row) for row in rows]
    changed[35]["values"] = make_rows(1, seed=9)[0]["values"]
    receipt = books.load(changed)
    assert [sample.new for sample in receipt.samples] == [False] * 3
    with client_of(books.local) as client:
        seen: dict[str, Any] = {}
        for _ in range(20):
            books.local.process("books", batches=1)
            found = look(client, waits_for(receipt.to_dict(), None), seen)
            seen = found.seen
            if found.visible:
                break
            assert books.dump() != truth(changed) or "its sample vectors were there before" in found.text
    assert found.visible
    assert books.dump() == truth(changed)


@pytest.mark.parametrize("operation", ["insert", "upsert"])
def test_what_was_loaded_again_is_visible_by_its_watermark_by_later_batches_or_when_all_is_quiet(
    held: Books, watch: Watch, operation: str
) -> None:
    rows = make_rows(30)
    held.load(rows, operation)
    held.local.process()

    receipt = held.load(rows, operation)
    held.local.process()
    assert WATERMARK in watch(receipt).text

    receipt = held.load(rows, operation)
    held.local.foreign_mutation("books")
    held.local.process()
    assert "its sample vectors were there before" in watch(receipt).text
    for number in range(4):
        held.local.shift_clock(3 + number)
        held.local.foreign_mutation("books")
        held.local.process()
        found = watch(receipt)
        assert found.visible == (number == 3)
    assert LATER_BATCHES in found.text

    receipt = held.load(rows, operation)
    held.local.foreign_mutation("books")
    held.local.process()
    assert not watch(receipt).visible
    held.local.shift_clock(320)
    assert ALL_QUIET in watch(receipt).text


def test_the_first_wins_an_insert_and_being_there_is_enough(held: Books, watch: Watch) -> None:
    held.local.release()
    held.load(make_rows(30, seed=1)[:20], "insert")
    held.local.hold()
    receipt = held.load(make_rows(30, seed=2), "insert")
    held.local.foreign_mutation("books")
    held.local.process()
    found = watch(receipt)
    assert found.visible
    assert READ_BACK in found.text


def test_reads_that_flap_are_not_believed_until_they_agree(held: Books, watch: Watch) -> None:
    receipt = held.load(make_rows(30))
    held.local.foreign_mutation("books")
    held.local.process()
    held.local.flap("books")
    looks = [watch(receipt) for _ in range(6)]
    assert not any(found.visible for found in looks)
    assert any("of 3 reads show its sample vectors as they were sent" in found.text for found in looks)
    held.local.steady()
    assert watch(receipt).visible


def test_an_index_that_is_deleted_while_one_waits_is_the_end(held: Books, watch: Watch) -> None:
    receipt = held.load(make_rows(30))
    assert watch(receipt).never is None
    with client_of(held.local) as client:
        client.delete_index("books")
    found = watch(receipt)
    assert found.never == 'Index "books" was deleted, or never existed: the mutations waited for are gone with it.'
    assert not found.visible


def test_one_answer_that_an_index_is_gone_is_not_believed(held: Books, watch: Watch) -> None:
    receipt = held.load(make_rows(30))
    held.local.fail("answer", operation="info", status=410, code=3005, message="vectorize.index.deleted", times=2)
    assert watch(receipt).never is None


def test_bare_ids_are_inferred_and_called_so(held: Books, watch: Watch) -> None:
    receipt = held.load(make_rows(30))
    last, others = receipt.mutation_id, list(receipt.mutation_ids[:-1])
    assert not watch(last, others, index_name="books").visible
    held.local.process()
    assert "1 more" not in watch(last, others, index_name="books").text
    held.local.shift_clock(5)
    held.local.foreign_mutation("books")
    held.local.process()
    found = watch(last, others, index_name="books")
    assert found.visible
    assert LATER_BATCHES in found.text


def test_a_load_is_proved_without_a_read_by_the_watermark_of_one_that_was_sent_after_it(
    held: Books, watch: Watch
) -> None:
    receipts = []
    for number in range(5):
        held.local.shift_clock(10 * number)
        receipts.append(held.load(make_rows(10, first=10 * number)))
        assert receipts[-1].sent_after
        assert receipts[-1].accepted_at
        assert receipts[-1].sent_after <= receipts[-1].accepted_at
    held.local.process()
    held.local.clear_requests()
    found = watch(*receipts)
    assert found.visible
    assert IN_ORDER in found.text
    assert [one.operation for one in held.local.requests()] == ["info"]


def test_a_look_at_many_that_have_to_be_read_back_leaves_the_rest_to_the_next(held: Books, watch: Watch) -> None:
    receipts = [held.load(make_rows(1, first=number)) for number in range(70)]
    held.local.foreign_mutation("books")
    held.local.process()
    held.local.set_budget("20/300")  # below half of it, reads are not worth a wait
    assert not watch(*receipts).visible
    assert len(held.local.requests("info")) == 1
    held.local.set_budget("1000/300")
    with client_of(held.local, retry=RetryPolicy(total=0), reserve=0) as another:
        assert watch(*receipts, with_client=another).visible


def test_a_look_costs_one_request_and_three_more_to_read_back(held: Books, watch: Watch) -> None:
    receipts = [held.load(make_rows(10, first=10 * number)) for number in range(5)]
    held.local.foreign_mutation("books")
    held.local.clear_requests()
    watch(*receipts)
    assert [one.operation for one in held.local.requests()] == ["info"]
    held.local.process()
    held.local.clear_requests()
    assert watch(*receipts).visible
    assert [one.operation for one in held.local.requests()] == ["info", *["get_by_ids"] * 3]


def test_a_hundred_loads_are_read_back_in_turns_and_one_that_hangs_does_not_keep_the_others(
    held: Books, watch: Watch
) -> None:
    receipts = [held.load(make_rows(3, first=10 * number)) for number in range(30)]
    held.local.foreign_mutation("books")
    held.local.process()
    with client_of(held.local) as client:
        client.delete_by_ids("books", [sample.id for sample in receipts[3].samples])
    held.local.process()
    held.local.clear_requests()
    for _ in range(20):
        found = watch(*receipts)
    assert not found.visible
    assert found.text.count("Not visible yet") == 1
    assert len(found.seen["books"]["proved"]) == 29
    assert f"{receipts[3].mutation_id}: 0 of 3 reads" in found.text
    reads = len(held.local.requests("get_by_ids"))
    assert reads <= 3 * (20 + 10)


def test_several_indexes_are_each_looked_at_once(books: Books, watch: Watch) -> None:
    with client_of(books.local) as client:
        client.create_index("films", dimensions=32, metric="cosine")
    one = books.load(make_rows(10))
    books.name = "films"
    other = books.load(make_rows(10))
    books.local.clear_requests()
    assert watch(one, other).visible
    assert [request.path.split("/")[-2] for request in books.local.requests("info")] == ["books", "films"]


def test_a_look_that_fails_says_why_and_the_next_one_goes_on(held: Books, watch: Watch) -> None:
    receipt = held.load(make_rows(10))
    held.local.process()
    held.local.fail("rate_limit", retry_after=17)
    found = watch(receipt)
    assert not found.visible
    assert "could not be looked at" in found.text
    assert 16 < found.pause <= 17
    with client_of(held.local, retry=RetryPolicy(total=0)) as another:
        assert watch(receipt, with_client=another).visible


def test_wrong_credentials_end_the_wait(held: Books, watch: Watch) -> None:
    receipt = held.load(make_rows(10))
    held.local.fail("answer", operation="info", status=403, code=10000)
    with pytest.raises(AuthError):
        watch(receipt)
