"""Rows that are sent as they stand are read from the source's own file, and from nowhere else."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.errors import BadRowError, SourceError
from airflow_provider_vectorize.load.bodies import SEND_BYTES, Body, Extent
from airflow_provider_vectorize.sources import compression as compressed
from airflow_provider_vectorize.sources.source_file import SourceFile
from tests.support import FileObject, make_rows, ndjson, truth

from .conftest import Books

AS_IT_IS: dict[str, Any] = {"float32_text": "never"}


@pytest.fixture(params=["kept", "copied"])
def books(books: Books, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Books:
    monkeypatch.setattr(compressed, "MIN_OPEN_FILE_BYTES", 0 if request.param == "kept" else 1 << 40)
    return books


@pytest.mark.parametrize("validation", ["full", "light", "off"])
def test_the_bodies_are_the_source_byte_for_byte(books: Books, validation: Any) -> None:
    rows = make_rows(95, namespace="en", metadata={"k": ["[", 1]})
    receipt = books.load(rows, validation=validation, **AS_IT_IS)
    assert receipt.bytes_sent == len(ndjson(rows))
    assert (receipt.vectors, receipt.batches) == (95, 10)
    assert books.dump() == truth(rows)


@pytest.mark.parametrize("validation", ["full", "light"])
def test_bad_rows_blank_lines_and_a_missing_last_newline_are_left_out(books: Books, validation: Any) -> None:
    rows = make_rows(60)
    lines = [json.dumps(row).encode() for row in rows]
    lines[20:20] = [b"", b"no vector", b'{"id": "x", "values": [1]}', b"\r"]
    receipt = books.load(b"\n".join(lines), dead_letters=True, validation=validation, **AS_IT_IS)
    assert (receipt.vectors, receipt.rejected) == (60, 2)
    assert [letter["line"] for letter in books.target.letters()] == [22, 23]
    assert books.dump() == truth(rows)


def test_a_row_that_only_vectorize_refuses_is_found_by_halving(books: Books) -> None:
    rows = make_rows(40)
    rows[17]["id"] = "x" * 65
    receipt = books.load(rows, dead_letters=True, validation="off", **AS_IT_IS)
    assert (receipt.vectors, receipt.rejected) == (39, 1)
    assert [letter["line"] for letter in books.target.letters()] == [18]
    assert books.dump() == truth([*rows[:17], *rows[18:]])


def test_the_error_of_a_bad_row_names_its_place(books: Books) -> None:
    rows = make_rows(40)
    content = ndjson(rows[:33]) + b"no vector\n" + ndjson(rows[33:])
    with pytest.raises(BadRowError, match=rf"Line 34 of .* \(byte {len(ndjson(rows[:33])):,}\)"):
        books.load(content, **AS_IT_IS)


def test_rows_of_several_objects_share_batches(books: Books) -> None:
    rows = make_rows(70)
    sources = [books.file(rows[n : n + 7], f"{n:02}.ndjson") for n in range(0, 70, 7)]
    receipt = books.load(sources, **AS_IT_IS)
    assert receipt.batches == 7
    assert books.dump() == truth(rows)


def test_hundreds_of_small_objects_are_not_kept_open(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    sources = [books.file([row], f"{number}.ndjson") for number, row in enumerate(make_rows(300))]
    most = 0

    class Counting(FileObject):
        def current_version(self) -> str:
            nonlocal most
            most = max(most, len(os.listdir("/proc/self/fd")))
            return super().current_version()

    before = len(os.listdir("/proc/self/fd"))
    books.load([Counting(Path(source.uri.removeprefix("file://"))) for source in sources], per_request=300, **AS_IT_IS)
    assert most < before + 50


def test_what_changes_after_it_was_checked_is_never_acknowledged(books: Books) -> None:
    """The file is written to in place when its first batches are on their way: those that follow must not be sent."""
    rows = make_rows(50)
    path = books.folder / "source.ndjson"
    source = books.file(rows)
    seen = threading.Event()

    class Rewritten(FileObject):
        def current_version(self) -> str:
            if not seen.is_set():
                seen.set()
                return super().current_version()
            with path.open("r+b") as stream:
                stream.write(ndjson(make_rows(50, seed=1)))
            return super().current_version()

    changed = Rewritten(path)
    with pytest.raises(SourceError, match="changed while it was read"):
        books.load(changed, max_in_flight=1, **AS_IT_IS)
    expected = truth(rows)
    assert all(expected[vector_id] == digest for vector_id, digest in books.dump().items())
    assert source.uri == changed.uri


def test_a_body_of_a_file_that_was_written_to_ends_before_its_last_piece(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * (SEND_BYTES + 10))
    with path.open("rb") as stream:
        body = Body([Extent(SourceFile(stream.fileno(), "file:///a"), 0, SEND_BYTES + 10)])
    pieces = iter(body)
    assert len(next(pieces)) == SEND_BYTES
    with path.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(SourceError, match="file:///a changed while it was read"):
        next(pieces)


def test_a_body_of_a_file_that_lost_its_end_is_not_padded(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    with path.open("rb") as stream:
        body = Body([Extent(SourceFile(stream.fileno(), "file:///a"), 0, 100)])
    path.write_bytes(b"")
    with pytest.raises(SourceError, match="changed while it was read"):
        list(body)


def test_a_file_that_was_replaced_is_read_as_it_was(tmp_path: Path) -> None:
    """Whoever replaces a file by renaming leaves the old one whole for those who have it open."""
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    other.write_bytes(b"new")
    with path.open("rb") as stream:
        body = Body([Extent(SourceFile(stream.fileno(), "file:///a"), 0, 3)])
    other.replace(path)
    assert bytes(body) == b"old"
