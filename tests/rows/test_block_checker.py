"""Checking blocks in several processes finds the same rows as checking them in one."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.rows import block_checker, check_workers, ndjson_reader
from airflow_provider_vectorize.rows.block_checker import BlockChecker, Processes
from airflow_provider_vectorize.rows.block_rows import Rows, with_short_values
from airflow_provider_vectorize.rows.check_settings import CheckSettings
from airflow_provider_vectorize.rows.check_workers import CheckWorker
from airflow_provider_vectorize.rows.hashing import RowHasher
from airflow_provider_vectorize.rows.ndjson_reader import NdjsonReader
from airflow_provider_vectorize.rows.reader import read_object
from airflow_provider_vectorize.sources.fields import Fields, parse_fields
from airflow_provider_vectorize.sources.lines import Block, Position, make_block, read_blocks
from tests.support import DIMENSIONS, FileObject, make_rows, ndjson

SETTINGS = CheckSettings(DIMENSIONS, LIMITS, "full", "auto")


@pytest.fixture
def started_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the processes with the first block, wait until they are ready, and read small blocks."""
    monkeypatch.setattr(block_checker, "ALONE_BYTES", 1)
    monkeypatch.setattr(check_workers, "READY_SECONDS", 60.0)
    monkeypatch.setattr(
        ndjson_reader, "read_blocks", lambda stream, position: read_blocks(stream, position, size=4_096, longest=40_000)
    )


def read(path: Path, settings: CheckSettings, processes: Processes) -> list[Rows]:
    """Return the rows of a file, block by block."""
    with closing(NdjsonReader(BlockChecker(settings, processes))) as reader:
        rows = [rows._replace(body=bytes(rows.body)) for rows in read_object(FileObject(path), reader, Position(3))]
    # Each process decides for itself whether to shorten values at once.
    return [with_short_values(block)._replace(source_range=None, values=None) for block in rows]


def odd_lines(seed: int) -> bytes:
    """Return lines of which some are unusual: bad, blank, long, not ASCII, dead letters, or several in one."""
    rng = random.Random(seed)
    lines = ndjson(make_rows(400, seed=seed)).splitlines()
    odd = [
        b"",
        b"   \t",
        b"not JSON",
        lines[0] + b"\r",
        lines[1] + lines[2],
        b'{"id": "a", "values": [1, 2]}',
        b'{"id": "\xff", "values": []}',
        '{"id": "ü", "values": [%s]}'.encode() % b",".join([b"0.5"] * DIMENSIONS),
        b'{"id": "long", "values": [%s], "metadata": {"x": "%s"}}' % (b",".join([b"1"] * DIMENSIONS), b"y" * 9_000),
        b"z" * 50_000,
        orjson.dumps({"reason": "?", "object": "o", "line": 1, "row": lines[3].decode()}),
    ]
    for _ in range(rng.randrange(12)):
        at = rng.randrange(len(lines))
        lines[at:at] = [rng.choice(odd)] * rng.choice([1, 1, 3])
    start = rng.choice([b"", b"", b"\xef\xbb\xbf"])
    return start + b"\n".join(lines) + rng.choice([b"", b"\n", b"\n\n"])


@pytest.mark.usefixtures("started_early")
@pytest.mark.parametrize("seed", range(12))
def test_several_processes_find_the_rows_of_one(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "odd.ndjson"
    path.write_bytes(odd_lines(seed))
    settings = CheckSettings(
        DIMENSIONS,
        LIMITS,
        *random.Random(seed).choice([("full", "auto"), ("full", "never"), ("light", "never"), ("off", "never")]),
    )
    assert read(path, settings, 2) == read(path, settings, 1)


@pytest.mark.usefixtures("started_early")
def test_several_processes_map_fields_and_hash_rows(tmp_path: Path) -> None:
    path = tmp_path / "mapped.ndjson"
    path.write_bytes(b"".join(orjson.dumps({"key": row["id"], "v": row["values"]}) + b"\n" for row in make_rows(300)))
    fields: Fields = parse_fields("fields", {"id": "key", "values": "v"})
    mapped = CheckSettings(DIMENSIONS, LIMITS, "full", "auto", fields=fields)
    assert read(path, mapped, 2) == read(path, mapped, 1)
    path.write_bytes(ndjson(make_rows(300)))
    for selective in (False, True):
        hashed = CheckSettings(DIMENSIONS, LIMITS, "full", "auto", RowHasher("metadata.page"), selective=selective)
        rows = read(path, hashed, 2)
        assert rows == read(path, hashed, 1)
        assert all(block.hashes for block in rows)


# ---------------------------------------------------------------- when processes start


def test_checker_of_a_small_source_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    path = tmp_path / "small.ndjson"
    path.write_bytes(ndjson(make_rows(2_000)))
    assert sum(len(rows.ends) for rows in read(path, SETTINGS, 2)) == 2_000


@pytest.mark.usefixtures("started_early")
def test_processes_that_cannot_start_leave_the_rows_to_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    path = tmp_path / "rows.ndjson"
    path.write_bytes(ndjson(make_rows(200)))
    assert sum(len(rows.ends) for rows in read(path, SETTINGS, 2)) == 200
    assert "1 of 2 processes check rows. The others cannot start" in caplog.text


def test_auto_starts_processes_for_full_checks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_checker, "available_cpus", lambda: 16)
    assert BlockChecker(SETTINGS, "auto").processes == block_checker.AUTO_PROCESSES
    assert BlockChecker(CheckSettings(DIMENSIONS, LIMITS, "light", "never"), "auto").processes == 1
    monkeypatch.setattr(block_checker, "available_cpus", lambda: 1)
    assert BlockChecker(SETTINGS, "auto").processes == 1


# ---------------------------------------------------------------- processes that die


def blocks(count: int) -> Iterator[Block]:
    """Yield small blocks."""
    rows = make_rows(count)
    position = Position()
    for row in rows:
        block = make_block(ndjson([row]), position)
        position = block.end
        yield block


def ids(checked: Iterator[tuple[Block, Rows]]) -> list[Any]:
    return [vector_id for _, rows in checked for vector_id in rows.ids]


@pytest.mark.usefixtures("started_early")
def test_checker_checks_the_blocks_of_a_killed_process_again(caplog: pytest.LogCaptureFixture) -> None:
    with closing(BlockChecker(SETTINGS, 3)) as checker:
        found = []
        for number, (_, rows) in enumerate(checker.check(blocks(400))):
            found += rows.ids
            if number in (20, 60):
                os.kill(checker.process_ids[number // 40], signal.SIGKILL)
    assert found == [row["id"] for row in make_rows(400)]
    assert caplog.text.count("A process that checks rows ended early (exit status -9)") == 2


@pytest.mark.usefixtures("started_early")
def test_checker_with_a_long_block_reads_no_other_before_it_is_yielded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CheckWorker, "has_answer", False)  # The processes seem to be slow.
    padding = b" " * check_workers.SLOT_BYTES
    short = list(blocks(4))
    long = [make_block(ndjson([row]).rstrip() + padding + b"\n", Position()) for row in make_rows(5)]
    taken = 0

    def take() -> Iterator[Block]:
        nonlocal taken
        for taken, block in enumerate([*short, *long], start=1):  # noqa: B007 - the checker may take more
            yield block

    with closing(BlockChecker(SETTINGS, 2)) as checker:
        for number, (block, _) in enumerate(checker.check(take()), start=1):
            assert len(block.data) < len(padding) or taken == number
    assert number == 9


@pytest.mark.usefixtures("started_early")
def test_checker_raises_what_one_process_would_raise(caplog: pytest.LogCaptureFixture) -> None:
    with closing(BlockChecker(SETTINGS, 3)) as checker:
        list(checker.check(blocks(20)))
        broken = [block._replace(position=Position(0, 1, None)) for block in blocks(3)]  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            list(checker.check(iter(broken)))
        assert ids(checker.check(blocks(30))) == [row["id"] for row in make_rows(30)]
    assert "A process that checks rows failed" in caplog.text


@pytest.mark.usefixtures("started_early")
def test_checker_forgets_the_blocks_of_an_object_that_is_left_early() -> None:
    with closing(BlockChecker(SETTINGS, 3)) as checker:
        for number, _ in enumerate(checker.check(blocks(200))):
            if number == 50:
                break
        assert ids(checker.check(blocks(100))) == [row["id"] for row in make_rows(100)]


@pytest.mark.usefixtures("started_early")
def test_closed_checker_leaves_no_process() -> None:
    checker = BlockChecker(SETTINGS, 3)
    checked = checker.check(blocks(100))
    for _, _ in zip(range(10), checked, strict=False):
        pass
    processes = checker.process_ids
    checker.close()
    assert len(processes) == 2
    assert not any(map(is_running, processes))
    assert len(ids(checked)) == 90  # The rest is checked in this process.


PARENT = """
import sys, time
from tests.rows import test_block_checker as tests
tests.block_checker.ALONE_BYTES, tests.check_workers.READY_SECONDS = 1, 60.0
checker = tests.BlockChecker(tests.SETTINGS, 3)
for number, _ in enumerate(checker.check(tests.blocks(1_000))):
    if number == 20:
        print(*checker.process_ids, flush=True)
        time.sleep(600)
"""


def test_processes_end_when_their_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        processes = [int(word) for word in parent.stdout.readline().split()]
        assert len(processes) == 2
        parent.kill()
    deadline = time.monotonic() + 60
    while any(map(is_running, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, processes))


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _check_in_daemon(results: Any) -> None:
    block_checker.ALONE_BYTES, check_workers.READY_SECONDS = 1, 60.0
    with closing(BlockChecker(SETTINGS, 3)) as checker:
        results.put((len(ids(checker.check(blocks(50)))), len(checker.process_ids)))


def test_daemonic_process_may_start_processes() -> None:
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=_check_in_daemon, args=(results,), daemon=True)
    process.start()
    process.join(60)
    assert results.get() == (50, 2)


def test_checker_logs_the_number_of_processes(caplog: pytest.LogCaptureFixture, started_early: None) -> None:
    with caplog.at_level(logging.INFO), closing(BlockChecker(SETTINGS, 3)) as checker:
        list(checker.check(blocks(5)))
    assert "Now 3 processes check rows, with this one." in caplog.text
