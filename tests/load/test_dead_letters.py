"""Rows that were set aside: written down whole, once, whatever happens meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.load.dead_letters import DeadLetters, dead_letter
from airflow_provider_vectorize.load.lines import Mark
from airflow_provider_vectorize.load.rows import BadRow
from tests.support import FileTarget


def bad(number: int, text: bytes = b"x") -> tuple[str, BadRow]:
    return "file:///a", BadRow(Mark(0, number, number * 10), text, "bad")


@pytest.fixture
def target(tmp_path: Path) -> FileTarget:
    return FileTarget(tmp_path / "bad.ndjson")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_no_byte_of_a_row_is_lost(text: bytes) -> None:
    letter = json.loads(dead_letter("file:///a", BadRow(Mark(0, 3, 20), text, "why")))
    assert letter.pop("row").encode("utf-8", "surrogateescape") == text
    assert letter == {"object": "file:///a", "line": 3, "offset": 20, "reason": "why"}


def test_each_call_leaves_the_file_whole(target: FileTarget) -> None:
    letters = DeadLetters(target)
    letters.begin()
    assert target.read() == b""
    letters.add([bad(1), bad(2)])
    assert [one["line"] for one in target.letters()] == [1, 2]
    letters.add([bad(3)])
    assert [one["line"] for one in target.letters()] == [1, 2, 3]
    assert letters.size == len(target.read())


def test_what_an_earlier_load_left_is_not_taken_for_this_ones(target: FileTarget) -> None:
    target.path.write_bytes(b"last night's")
    DeadLetters(target).begin()
    assert target.read() == b""


def test_a_retry_takes_up_what_its_checkpoint_speaks_for_and_no_more(target: FileTarget) -> None:
    first = DeadLetters(target)
    first.add([bad(1)])
    size = first.size
    first.add([bad(2)])  # and then the process was killed, before the checkpoint

    second = DeadLetters(target)
    assert second.restore(size)
    assert [one["line"] for one in target.letters()] == [1]
    second.add([bad(2), bad(3)])
    assert [one["line"] for one in target.letters()] == [1, 2, 3]


def test_a_file_that_somebody_cut_cannot_be_taken_up(target: FileTarget) -> None:
    letters = DeadLetters(target)
    letters.add([bad(1)])
    target.path.write_bytes(b"")
    assert not DeadLetters(target).restore(letters.size)


def test_rows_that_could_not_be_written_are_not_in_the_next_file_either(target: FileTarget) -> None:
    class Failing(FileTarget):
        fail = False

        def write(self, content: Any) -> None:
            if self.fail:
                raise SourceError("full", uri=self.uri)
            super().write(content)

    failing = Failing(target.path)
    letters = DeadLetters(failing)
    letters.add([bad(1)])
    size = letters.size
    failing.fail = True
    with pytest.raises(SourceError):
        letters.add([bad(2, b"long" * 1_000)])
    assert letters.size == size

    failing.fail = False
    letters.add([bad(3)])
    assert [one["line"] for one in target.letters()] == [1, 3]
    assert letters.size == len(target.read())
