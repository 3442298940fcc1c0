"""Rows that were set aside: written down whole, once, whatever happens meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.load.dead_letters import DeadLetters, dead_letter
from airflow_provider_vectorize.rows.block_rows import BadRow
from airflow_provider_vectorize.sources.lines import Position
from tests.support import FileTarget


def bad(number: int, text: bytes = b"x") -> tuple[str, BadRow]:
    return "file:///a", BadRow(Position(0, number, number * 10), text, "bad")


@pytest.fixture
def target(tmp_path: Path) -> FileTarget:
    return FileTarget(tmp_path / "bad.ndjson")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_no_byte_of_a_row_is_lost(text: bytes) -> None:
    letter = json.loads(dead_letter("file:///a", BadRow(Position(0, 3, 20), text, "why")))
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


def test_what_an_earlier_attempt_of_the_run_left_is_replaced(target: FileTarget) -> None:
    DeadLetters(target, "dag/run/task").add([bad(1)])
    DeadLetters(target, "dag/run/task").begin()
    assert target.read() == b""


OTHERS = [
    dead_letter("file:///a", bad(1)[1], "dag/another run/task"),
    dead_letter("file:///a", bad(1)[1], 'dag/run/task", "object'),
    dead_letter("file:///a", bad(1)[1]),
    b'{"run": "dag/run/task"}\n',
    b'{"run": "dag/run/task',
    b"somebody's notes",
    b"\n",
]


@pytest.mark.parametrize("run", ["dag/run/task", ""])
@pytest.mark.parametrize("content", OTHERS)
def test_what_anybody_else_wrote_is_never_replaced(target: FileTarget, content: bytes, run: str) -> None:
    target.path.write_bytes(content)
    for begin in (
        DeadLetters(target, run).begin,
        lambda: DeadLetters(target, run).restore(0, DeadLetters(target).digest),
    ):
        with pytest.raises(ConfigError, match=r"bad\.ndjson holds .*, and this load would replace it"):
            begin()
    assert target.read() == content


def test_the_run_whose_letters_are_there_is_named(target: FileTarget) -> None:
    DeadLetters(target, "dag/scheduled__2026-01-31T02:00:00+00:00/täsk[3]").add([bad(1)])
    with pytest.raises(
        ConfigError, match=r"holds the dead letters of dag/scheduled__2026-01-31T02:00:00\+00:00/täsk\[3\]"
    ):
        DeadLetters(target, "dag/scheduled__2026-02-01T02:00:00+00:00/täsk[3]").begin()


@pytest.mark.parametrize("name", ["bad.ndjson.gz", "bad.zst", "BAD.GZ", "bad.bz2", "bad.xz", "bad.zip"])
def test_a_name_that_promises_compressed_text_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="Dead letters are written as plain text"):
        DeadLetters(FileTarget(tmp_path / name))


def test_a_retry_takes_up_what_its_checkpoint_speaks_for_and_no_more(target: FileTarget) -> None:
    first = DeadLetters(target)
    first.add([bad(1)])
    size, digest = first.size, first.digest
    first.add([bad(2)])  # and then the process was killed, before the checkpoint

    second = DeadLetters(target)
    assert second.restore(size, digest)
    assert (second.size, second.digest) == (size, digest)
    assert [one["line"] for one in target.letters()] == [1]
    second.add([bad(2), bad(3)])
    assert [one["line"] for one in target.letters()] == [1, 2, 3]


def test_a_file_that_somebody_cut_cannot_be_taken_up(target: FileTarget) -> None:
    letters = DeadLetters(target)
    letters.add([bad(1)])
    target.path.write_bytes(b"")
    assert not DeadLetters(target).restore(letters.size, letters.digest)


def test_a_file_that_holds_something_else_of_the_same_length_cannot_be_taken_up(target: FileTarget) -> None:
    letters = DeadLetters(target, "one")
    letters.add([bad(1)])
    other = DeadLetters(FileTarget(target.path), "two")
    target.path.write_bytes(b"")
    other.add([bad(1)])
    assert other.size == letters.size
    content = target.read()
    again = DeadLetters(target, "one")
    assert not again.restore(letters.size, letters.digest)
    with pytest.raises(ConfigError, match="holds the dead letters of two"):
        again.begin()
    assert target.read() == content


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
