"""Test processed ranges that merge, and checkpoints that are used only for the same load."""

from __future__ import annotations

import json
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.load.checkpoint import Checkpoint, CheckpointWriter, match_checkpoint
from airflow_provider_vectorize.load.job import resume_message
from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.load.receipt import Receipt, Sample
from airflow_provider_vectorize.rows.check_settings import CheckSettings
from airflow_provider_vectorize.rows.ndjson_reader import NdjsonReader
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.sources.lines import Position
from tests.support import DIMENSIONS, FileObject, MemoryStore

SETTINGS = CheckSettings(DIMENSIONS, LIMITS, "off", "never")


def line_position(number: int) -> Position:
    """Return the position of the n-th line of a source with ten lines per object."""
    return Position(number // 10, number % 10 + 1, number % 10 * 7)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.data())
def test_processed_ranges_added_in_any_order_merge(sizes: list[int], data: st.DataObject) -> None:
    edges = [0]
    for size in sizes:
        edges.append(edges[-1] + size)
    batches = list(pairwise(edges))
    lines: set[int] = set()
    processed = ProcessedRanges()
    for first, stop in data.draw(st.permutations(batches)):
        processed = processed.add(line_position(first), line_position(stop))
        lines |= set(range(first, stop))
        assert {n for n in range(edges[-1]) if processed.covers(line_position(n))} == lines
        assert processed.resume_position == line_position(next(n for n in range(edges[-1] + 1) if n not in lines))
        assert processed.has_gaps == any(line_position(n) >= processed.resume_position for n in lines)
        for (_, end), (start, _) in pairwise(processed.ranges):
            assert end < start
    assert processed.ranges == ((line_position(0), line_position(edges[-1])),)


def test_processed_ranges_single_range_after_start_has_gap() -> None:
    processed = ProcessedRanges().add(line_position(5), line_position(20))
    assert processed.resume_position == Position()
    assert processed.has_gaps
    assert processed.covers(line_position(5))


IDENTITY = {"index": "books", "source": "abc"}
RECEIPT = Receipt(
    "upsert", "books", "m2", ("m1", "m2"), 20, 2, 999, 1, "2026-11-22T12:00:00+00:00", (Sample("a", "d", True),)
)
CHECKPOINT = Checkpoint(
    IDENTITY,
    ProcessedRanges().add(Position(), line_position(15)).add(line_position(17), line_position(22)),
    RECEIPT,
    77,
)


def test_checkpoint_survives_json() -> None:
    plain = json.loads(json.dumps(CHECKPOINT.to_dict()))
    assert Checkpoint.from_dict(plain) == CHECKPOINT


def test_match_checkpoint_same_load_resumes() -> None:
    assert match_checkpoint(CHECKPOINT.to_dict(), IDENTITY) == (CHECKPOINT, "")


def test_resume_message_names_position_and_acknowledged_vectors(tmp_path: Path) -> None:
    source = LoadSource([FileObject(tmp_path / name) for name in ("a", "b", "c")], NdjsonReader(SETTINGS))
    assert resume_message(CHECKPOINT, source) == (
        f"Resuming from the last checkpoint at line 6 of {tmp_path.as_uri()}/b (byte 35). Batches after it that are "
        "already acknowledged are skipped. Already acknowledged: 20 vectors in 2 batches (last mutation m2)."
    )


@pytest.mark.parametrize("key", ["index", "source", "number of clears"])
def test_match_checkpoint_other_load_starts_over_with_reason(key: str) -> None:
    checkpoint, message = match_checkpoint(CHECKPOINT.to_dict(), {**IDENTITY, key: "other"})
    assert checkpoint is None
    assert message == f"Starting over: the checkpoint belongs to another load ({key} changed)."


def test_match_checkpoint_first_attempt_has_no_message() -> None:
    assert match_checkpoint(None, IDENTITY) == (None, "")


@pytest.mark.parametrize(
    "stored",
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
def test_match_checkpoint_of_other_version_starts_over(stored: Any) -> None:
    checkpoint, message = match_checkpoint(stored, IDENTITY)
    assert checkpoint is None
    assert "another version of the provider wrote the checkpoint" in message


class BrokenStore:
    def load(self) -> Any:
        raise ConnectionError("no database")

    def save(self, value: dict[str, Any]) -> None:
        raise ConnectionError("no database")

    def clear(self) -> None:
        raise ConnectionError("no database")


def test_checkpoint_writer_failing_store_only_warns(caplog: pytest.LogCaptureFixture) -> None:
    writer = CheckpointWriter(BrokenStore())
    with caplog.at_level(logging.WARNING):
        assert writer.load() is None
        for _ in range(3):
            writer.save(CHECKPOINT)
        writer.clear()
    assert [record.getMessage() for record in caplog.records] == [
        "Could not read the checkpoint. The load starts over, which is safe. ConnectionError: no database",
        "Could not save a checkpoint. A retry may send some batches again, which changes nothing. "
        "ConnectionError: no database",
        "Could not delete the checkpoint. ConnectionError: no database",
    ]


def test_checkpoint_writer_without_store_saves_nothing() -> None:
    writer = CheckpointWriter(None)
    writer.save(CHECKPOINT)
    writer.clear()
    assert writer.load() is None
    assert not writer.durable


def test_checkpoint_writer_returns_last_checkpoint_until_cleared() -> None:
    writer = CheckpointWriter(MemoryStore())
    writer.save(CHECKPOINT)
    assert Checkpoint.from_dict(writer.load()) == CHECKPOINT
    writer.clear()
    assert writer.load() is None
