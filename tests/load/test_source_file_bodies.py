"""Test that rows that are sent unchanged are read directly from the source file."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.errors import BadRowError, SourceError
from airflow_provider_vectorize.load.bodies import SEND_BYTES, Body, FileRange
from airflow_provider_vectorize.sources import compression
from airflow_provider_vectorize.sources.source_file import SourceFile
from tests.support import FileObject, expected_dump, make_rows, ndjson

from .conftest import BooksIndex

UNCHANGED: dict[str, Any] = {"float32_text": "never"}


@pytest.fixture(params=["source file", "temporary file"])
def books(books: BooksIndex, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> BooksIndex:
    monkeypatch.setattr(compression, "MIN_OPEN_FILE_BYTES", 0 if request.param == "source file" else 1 << 40)
    return books


@pytest.mark.parametrize("validation", ["full", "light", "off"])
def test_load_bodies_equal_source_bytes(books: BooksIndex, validation: Any) -> None:
    rows = make_rows(95, namespace="en", metadata={"k": ["[", 1]})
    receipt = books.load(rows, validation=validation, **UNCHANGED)
    assert receipt.bytes_sent == len(ndjson(rows))
    assert (receipt.vectors, receipt.batches) == (95, 10)
    assert books.dump() == expected_dump(rows)


@pytest.mark.parametrize("validation", ["full", "light"])
def test_load_bad_rows_and_blank_lines_are_not_sent(books: BooksIndex, validation: Any) -> None:
    rows = make_rows(60)
    lines = [json.dumps(row).encode() for row in rows]
    lines[20:20] = [b"", b"no vector", b'{"id": "x", "values": [1]}', b"\r"]
    receipt = books.load(b"\n".join(lines), dead_letters=True, validation=validation, **UNCHANGED)
    assert (receipt.vectors, receipt.rejected) == (60, 2)
    assert [letter["line"] for letter in books.target.dead_letters()] == [22, 23]
    assert books.dump() == expected_dump(rows)


def test_load_row_refused_by_vectorize_is_isolated(books: BooksIndex) -> None:
    rows = make_rows(40)
    rows[17]["id"] = "x" * 65
    receipt = books.load(rows, dead_letters=True, validation="off", **UNCHANGED)
    assert (receipt.vectors, receipt.rejected) == (39, 1)
    assert [letter["line"] for letter in books.target.dead_letters()] == [18]
    assert books.dump() == expected_dump([*rows[:17], *rows[18:]])


def test_load_bad_row_error_names_its_line(books: BooksIndex) -> None:
    rows = make_rows(40)
    content = ndjson(rows[:33]) + b"no vector\n" + ndjson(rows[33:])
    with pytest.raises(BadRowError, match=rf"Line 34 of .* \(byte {len(ndjson(rows[:33])):,}\)"):
        books.load(content, **UNCHANGED)


def test_load_several_objects_share_batches(books: BooksIndex) -> None:
    rows = make_rows(70)
    sources = [books.write_source(rows[n : n + 7], f"{n:02}.ndjson") for n in range(0, 70, 7)]
    receipt = books.load(sources, **UNCHANGED)
    assert receipt.batches == 7
    assert books.dump() == expected_dump(rows)


def test_load_many_small_objects_are_not_kept_open(books: BooksIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    sources = [books.write_source([row], f"{number}.ndjson") for number, row in enumerate(make_rows(300))]
    most = 0

    class Counting(FileObject):
        def current_version(self) -> str:
            nonlocal most
            most = max(most, len(os.listdir("/proc/self/fd")))
            return super().current_version()

    before = len(os.listdir("/proc/self/fd"))
    books.load([Counting(Path(source.uri.removeprefix("file://"))) for source in sources], per_request=300, **UNCHANGED)
    assert most < before + 50


def test_load_rows_changed_after_check_are_never_acknowledged(books: BooksIndex) -> None:
    """The file is modified in place while its first batches are sent. The batches after them must not be sent."""
    rows = make_rows(50)
    path = books.folder / "source.ndjson"
    source = books.write_source(rows)
    checked_once = threading.Event()

    class Rewritten(FileObject):
        def current_version(self) -> str:
            if not checked_once.is_set():
                checked_once.set()
                return super().current_version()
            with path.open("r+b") as stream:
                stream.write(ndjson(make_rows(50, seed=1)))
            return super().current_version()

    changed = Rewritten(path)
    with pytest.raises(SourceError, match="changed while it was read"):
        books.load(changed, max_in_flight=1, **UNCHANGED)
    expected = expected_dump(rows)
    assert all(expected[vector_id] == digest for vector_id, digest in books.dump().items())
    assert source.uri == changed.uri


def test_body_of_modified_file_ends_before_last_chunk(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * (SEND_BYTES + 10))
    with path.open("rb") as stream:
        body = Body([FileRange(SourceFile(stream.fileno(), "file:///a"), 0, SEND_BYTES + 10)])
    pieces = iter(body)
    assert len(next(pieces)) == SEND_BYTES
    with path.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(SourceError, match="file:///a changed while it was read"):
        next(pieces)


def test_body_of_truncated_file_is_not_padded(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    with path.open("rb") as stream:
        body = Body([FileRange(SourceFile(stream.fileno(), "file:///a"), 0, 100)])
    path.write_bytes(b"")
    with pytest.raises(SourceError, match="changed while it was read"):
        list(body)


def test_body_of_replaced_file_keeps_old_bytes(tmp_path: Path) -> None:
    """A file that is replaced by renaming stays complete for processes that have it open."""
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    other.write_bytes(b"new")
    with path.open("rb") as stream:
        body = Body([FileRange(SourceFile(stream.fileno(), "file:///a"), 0, 3)])
    other.replace(path)
    assert bytes(body) == b"old"
