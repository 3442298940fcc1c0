"""Rows that are read from a local file in ranges are those of a stream, whichever process reads them."""

from __future__ import annotations

import os
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.rows import ndjson_reader, pending_blocks, row_processes, worker_process
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.rows.check_settings import CheckSettings
from airflow_provider_vectorize.rows.ndjson_reader import NdjsonReader
from airflow_provider_vectorize.rows.reader import read_object
from airflow_provider_vectorize.sources import compression, line_ranges
from airflow_provider_vectorize.sources.lines import BLOCK_LINES, Position
from airflow_provider_vectorize.sources.source_file import SourceFile
from tests.rows.test_row_processes import SETTINGS, odd_lines, read, started_early
from tests.support import DIMENSIONS, FileObject, make_rows, ndjson

__all__ = ["started_early"]  # A fixture.


@pytest.fixture
def small_ranges(started_early: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes read files themselves, also small ones, in small ranges."""
    monkeypatch.setattr(compression, "MIN_OPEN_FILE_BYTES", 1)
    monkeypatch.setattr(pending_blocks, "READ_BYTES", 4_096)
    monkeypatch.setattr(
        ndjson_reader, "line_ranges", lambda file, start: line_ranges.line_ranges(file, start, size=4_096)
    )


def flat(blocks: list[Rows]) -> list[Any]:
    """Return what a load does with the rows, whatever blocks they came in."""
    positions = [position for block in blocks for position in map(block.position, range(len(block.ends)))]
    bad = [row for block in blocks for row in block.bad]
    ids = [row_id for block in blocks for row_id in block.ids]
    return [positions, ids, bad, b"".join(block.body for block in blocks), blocks[-1].end]


@pytest.mark.parametrize("seed", range(12))
def test_rows_of_a_file_are_those_of_a_stream(
    tmp_path: Path, seed: int, started_early: None, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "odd.ndjson"
    path.write_bytes(odd_lines(seed))
    settings = CheckSettings(DIMENSIONS, LIMITS, "full", random.Random(seed).choice(["auto", "never"]))
    expected = flat(read(path, settings, 1))
    request.getfixturevalue("small_ranges")
    assert flat(read(path, settings, 1)) == expected
    assert flat(read(path, settings, 3)) == expected


@pytest.mark.usefixtures("small_ranges")
def test_each_process_reads_one_file_after_the_other(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.ndjson" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(ndjson(make_rows(300, seed=number)))
    with closing(NdjsonReader(SETTINGS, 2)) as reader:
        for number, path in enumerate(paths):
            found = [row_id for rows in read_object(FileObject(path), reader, Position()) for row_id in rows.ids]
            assert found == [row["id"] for row in make_rows(300, seed=number)]
            (worker,) = reader._processes.process_ids
            opened = [os.readlink(link) for link in Path(f"/proc/{worker}/fd").iterdir() if link.exists()]
            assert sum(name.endswith(".ndjson") for name in opened) == 1


def test_range_with_too_many_lines_is_read_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(row_processes, "ALONE_BYTES", 1)
    monkeypatch.setattr(worker_process, "READY_SECONDS", 60.0)
    monkeypatch.setattr(compression, "MIN_OPEN_FILE_BYTES", 1)
    path = tmp_path / "gaps.ndjson"
    lines = ndjson(make_rows(400)).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:100], b"x\n" * 70_000, *lines[100:], b"\n" * 300_000, lines[0]]))
    blocks = [rows._replace(text=rows.body) for rows in read(path, SETTINGS, 2)]
    assert max(len(block.bad) for block in blocks) <= BLOCK_LINES
    assert sum(len(block.bad) for block in blocks) == 70_000
    numbers = [line for block in blocks for line in block.lines]
    assert numbers == [*range(1, 101), *range(70_101, 70_401), 370_401]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.usefixtures("small_ranges")
def test_file_that_is_truncated_while_processes_read_it_fails_the_load(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "truncated.ndjson"
    path.write_bytes(ndjson(make_rows(2_000)))
    with closing(NdjsonReader(SETTINGS, 2)) as reader:
        rows = read_object(FileObject(path), reader, Position())
        next(rows)
        os.truncate(path, 10_000)
        with pytest.raises(SourceError, match="changed while it was read"):
            list(rows)
    assert "failed" not in caplog.text


def test_text_left_in_a_file_that_was_written_to_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "written.ndjson"
    path.write_bytes(ndjson(make_rows(3)))
    with open(path, "rb") as file:
        rows = Rows(0, None, [10], ["a"], [1], 0, [0], [], Position(), (SourceFile(file.fileno(), "file:///w"), 0))
        assert rows.body == path.read_bytes()[:10]
        path.write_bytes(b"x" * 1_000)
        with pytest.raises(SourceError, match="changed while it was read"):
            _ = rows.body
