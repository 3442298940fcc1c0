"""How far a load came: ranges that merge, and checkpoints that are taken for nothing else than they are."""

from __future__ import annotations

import json
import logging
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.load.checkpoint import Checkpoint, CheckpointWriter, resume
from airflow_provider_vectorize.load.receipt import Receipt, Sample
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.sources.lines import Position
from tests.support import MemoryStore


def place(number: int) -> Position:
    """The n-th place of a source with ten lines an object."""
    return Position(number // 10, number % 10 + 1, number % 10 * 7)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.data())
def test_ranges_in_any_order_say_what_is_dealt_with_and_what_is_not(sizes: list[int], data: st.DataObject) -> None:
    edges = [0]
    for size in sizes:
        edges.append(edges[-1] + size)
    batches = list(pairwise(edges))
    dealt_with: set[int] = set()
    done = ProcessedRanges()
    for first, stop in data.draw(st.permutations(batches)):
        done = done.add(place(first), place(stop))
        dealt_with |= set(range(first, stop))
        assert {n for n in range(edges[-1]) if done.covers(place(n))} == dealt_with
        assert done.resume_position == place(next(n for n in range(edges[-1] + 1) if n not in dealt_with))
        assert done.has_gaps == any(place(n) >= done.resume_position for n in dealt_with)
        for (_, end), (start, _) in pairwise(done.ranges):
            assert end < start
    assert done.ranges == ((place(0), place(edges[-1])),)


def test_what_is_done_behind_the_first_batch_in_flight_is_a_gap_though_it_is_one_range() -> None:
    done = ProcessedRanges().add(place(5), place(20))
    assert done.resume_position == Position()
    assert done.has_gaps
    assert done.covers(place(5))


IDENTITY = {"index": "books", "source": "abc"}
RECEIPT = Receipt(
    "upsert", "books", "m2", ("m1", "m2"), 20, 2, 999, 1, "2026-11-22T12:00:00+00:00", (Sample("a", "d", True),)
)
CHECKPOINT = Checkpoint(IDENTITY, ProcessedRanges().add(Position(), place(15)).add(place(17), place(22)), RECEIPT, 77)


def test_a_checkpoint_survives_json() -> None:
    plain = json.loads(json.dumps(CHECKPOINT.to_dict()))
    assert Checkpoint.from_dict(plain) == CHECKPOINT


def test_a_retry_goes_on_and_says_where() -> None:
    checkpoint, say = resume(CHECKPOINT.to_dict(), IDENTITY, ["file:///a", "file:///b", "file:///c"])
    assert checkpoint == CHECKPOINT
    assert say == (
        "Going on where the last attempt was, at line 6 of file:///b (byte 35), and over what was acknowledged after "
        "that: 20 vectors in 2 batches are acknowledged already, the last as mutation m2."
    )


@pytest.mark.parametrize("key", ["index", "source", "number of clears"])
def test_another_load_starts_over_and_says_why(key: str) -> None:
    checkpoint, say = resume(CHECKPOINT.to_dict(), {**IDENTITY, key: "other"}, [])
    assert checkpoint is None
    assert say == f"The checkpoint is of another load ({key} changed): starting over."


def test_a_first_attempt_says_nothing() -> None:
    assert resume(None, IDENTITY, []) == (None, "")


@pytest.mark.parametrize(
    "kept",
    [
        {"version": 99},
        {},
        [],
        "x",
        {**CHECKPOINT.to_dict(), "done": None},
        {**CHECKPOINT.to_dict(), "done": [[[0]]]},
        {**CHECKPOINT.to_dict(), "receipt": {}},
        {**CHECKPOINT.to_dict(), "receipt": []},
        {**CHECKPOINT.to_dict(), "identity": 3},
        {key: value for key, value in CHECKPOINT.to_dict().items() if key != "dead_letter_bytes"},
    ],
)
def test_what_is_no_checkpoint_of_this_version_starts_over(kept: Any) -> None:
    checkpoint, say = resume(kept, IDENTITY, ["file:///a"])
    assert checkpoint is None
    assert "of another version" in say


class Broken:
    def load(self) -> Any:
        raise ConnectionError("no database")

    def save(self, value: dict[str, Any]) -> None:
        raise ConnectionError("no database")

    def clear(self) -> None:
        raise ConnectionError("no database")


def test_a_store_that_fails_costs_a_retry_time_and_never_the_load(caplog: pytest.LogCaptureFixture) -> None:
    keeper = CheckpointWriter(Broken())
    with caplog.at_level(logging.WARNING):
        assert keeper.load() is None
        for _ in range(3):
            keeper.save(CHECKPOINT)
        keeper.clear()
    assert [record.getMessage() for record in caplog.records] == [
        "The checkpoint cannot be read: starting over, which is safe. ConnectionError: no database",
        "A checkpoint cannot be kept: a retry would send some batches again, which changes nothing. "
        "ConnectionError: no database",
        "The checkpoint cannot be cleared. ConnectionError: no database",
    ]


def test_without_a_store_nothing_is_kept() -> None:
    keeper = CheckpointWriter(None)
    keeper.save(CHECKPOINT)
    keeper.clear()
    assert keeper.load() is None
    assert not keeper.durable


def test_a_store_keeps_the_last_checkpoint_until_it_is_cleared() -> None:
    keeper = CheckpointWriter(MemoryStore())
    keeper.save(CHECKPOINT)
    assert Checkpoint.from_dict(keeper.load()) == CHECKPOINT
    keeper.clear()
    assert keeper.load() is None
