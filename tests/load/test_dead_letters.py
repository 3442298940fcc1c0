"""Test the dead-letter file: each rejected row is written completely and once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.load.dead_letters import DeadLetters, format_dead_letter
from airflow_provider_vectorize.rows.block_rows import BadRow
from airflow_provider_vectorize.sources.lines import Position
from tests.support import FileTarget

PLACE = {"object": "file:///a", "line": 3, "offset": 20}


def bad_row(number: int, text: bytes = b"x") -> tuple[dict[str, Any], BadRow]:
    place = {"object": "file:///a", "line": number, "offset": number * 10}
    return place, BadRow(Position(0, number, number * 10), text, "bad")


@pytest.fixture
def target(tmp_path: Path) -> FileTarget:
    return FileTarget(tmp_path / "bad.ndjson")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_dead_letter_keeps_every_byte_of_a_row(text: bytes) -> None:
    dead_letter = json.loads(format_dead_letter(PLACE, BadRow(Position(0, 3, 20), text, "why")))
    assert dead_letter.pop("row").encode("utf-8", "surrogateescape") == text
    assert dead_letter == {"object": "file:///a", "line": 3, "offset": 20, "reason": "why"}


def test_dead_letters_each_add_leaves_complete_file(target: FileTarget) -> None:
    dead_letters = DeadLetters(target)
    dead_letters.start()
    assert target.read() == b""
    dead_letters.add([bad_row(1), bad_row(2)])
    assert [letter["line"] for letter in target.dead_letters()] == [1, 2]
    dead_letters.add([bad_row(3)])
    assert [letter["line"] for letter in target.dead_letters()] == [1, 2, 3]
    assert dead_letters.size == len(target.read())


def test_dead_letters_start_overwrites_file_of_same_run(target: FileTarget) -> None:
    DeadLetters(target, "dag/run/task").add([bad_row(1)])
    DeadLetters(target, "dag/run/task").start()
    assert target.read() == b""


OTHER_FILES = [
    format_dead_letter(PLACE, bad_row(1)[1], "dag/another run/task"),
    format_dead_letter(PLACE, bad_row(1)[1], 'dag/run/task", "object'),
    format_dead_letter(PLACE, bad_row(1)[1]),
    b'{"run": "dag/run/task"}\n',
    b'{"run": "dag/run/task',
    b"other notes",
    b"\n",
]


@pytest.mark.parametrize("run", ["dag/run/task", ""])
@pytest.mark.parametrize("content", OTHER_FILES)
def test_dead_letters_start_refuses_file_of_others(target: FileTarget, content: bytes, run: str) -> None:
    target.path.write_bytes(content)
    for start in (
        DeadLetters(target, run).start,
        lambda: DeadLetters(target, run).restore(0, DeadLetters(target).digest),
    ):
        with pytest.raises(ConfigError, match=r"bad\.ndjson holds .*, and this load would overwrite it"):
            start()
    assert target.read() == content


def test_dead_letters_start_error_names_other_run(target: FileTarget) -> None:
    DeadLetters(target, "dag/scheduled__2026-01-31T02:00:00+00:00/täsk[3]").add([bad_row(1)])
    with pytest.raises(
        ConfigError, match=r"holds the dead letters of dag/scheduled__2026-01-31T02:00:00\+00:00/täsk\[3\]"
    ):
        DeadLetters(target, "dag/scheduled__2026-02-01T02:00:00+00:00/täsk[3]").start()


@pytest.mark.parametrize("name", ["bad.ndjson.gz", "bad.zst", "BAD.GZ", "bad.bz2", "bad.xz", "bad.zip"])
def test_dead_letters_compressed_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="Dead letters are written as plain text"):
        DeadLetters(FileTarget(tmp_path / name))


def test_dead_letters_restore_keeps_lines_up_to_checkpoint(target: FileTarget) -> None:
    first = DeadLetters(target)
    first.add([bad_row(1)])
    size, digest = first.size, first.digest
    first.add([bad_row(2)])  # The process is killed before its next checkpoint.

    second = DeadLetters(target)
    assert second.restore(size, digest)
    assert (second.size, second.digest) == (size, digest)
    assert [letter["line"] for letter in target.dead_letters()] == [1]
    second.add([bad_row(2), bad_row(3)])
    assert [letter["line"] for letter in target.dead_letters()] == [1, 2, 3]


def test_dead_letters_restore_truncated_file_fails(target: FileTarget) -> None:
    dead_letters = DeadLetters(target)
    dead_letters.add([bad_row(1)])
    target.path.write_bytes(b"")
    assert not DeadLetters(target).restore(dead_letters.size, dead_letters.digest)


def test_dead_letters_restore_other_content_of_same_size_fails(target: FileTarget) -> None:
    dead_letters = DeadLetters(target, "one")
    dead_letters.add([bad_row(1)])
    other = DeadLetters(FileTarget(target.path), "two")
    target.path.write_bytes(b"")
    other.add([bad_row(1)])
    assert other.size == dead_letters.size
    content = target.read()
    again = DeadLetters(target, "one")
    assert not again.restore(dead_letters.size, dead_letters.digest)
    with pytest.raises(ConfigError, match="holds the dead letters of two"):
        again.start()
    assert target.read() == content


def test_dead_letters_failed_add_leaves_no_rows(target: FileTarget) -> None:
    class Failing(FileTarget):
        fail = False

        def write(self, content: Any) -> None:
            if self.fail:
                raise SourceError("full", uri=self.uri)
            super().write(content)

    failing = Failing(target.path)
    dead_letters = DeadLetters(failing)
    dead_letters.add([bad_row(1)])
    size = dead_letters.size
    failing.fail = True
    with pytest.raises(SourceError):
        dead_letters.add([bad_row(2, b"long" * 1_000)])
    assert dead_letters.size == size

    failing.fail = False
    dead_letters.add([bad_row(3)])
    assert [letter["line"] for letter in target.dead_letters()] == [1, 3]
    assert dead_letters.size == len(target.read())
