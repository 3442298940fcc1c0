"""Preparing rows in several processes finds the same rows as preparing them in one."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.rows import (
    ndjson_reader,
    parquet_reader,
    row_processes,
    worker_process,
)
from airflow_provider_vectorize.rows.block_rows import Rows, with_short_values
from airflow_provider_vectorize.rows.check_settings import CheckSettings
from airflow_provider_vectorize.rows.float32 import ROUNDED_TWICE
from airflow_provider_vectorize.rows.hashing import RowHasher
from airflow_provider_vectorize.rows.ndjson_reader import NdjsonReader
from airflow_provider_vectorize.rows.parquet_reader import ParquetRowReader
from airflow_provider_vectorize.rows.parquet_rows import PendingValues
from airflow_provider_vectorize.rows.pending_blocks import PendingBlock
from airflow_provider_vectorize.rows.reader import read_object
from airflow_provider_vectorize.rows.row_processes import Processes, RowProcesses
from airflow_provider_vectorize.rows.values_text import VALUE_BYTES
from airflow_provider_vectorize.rows.worker_process import WorkerProcess
from airflow_provider_vectorize.sources.fields import DEFAULT_FIELDS, Fields, parse_fields
from airflow_provider_vectorize.sources.lines import Position, make_block, read_blocks
from tests.support import DIMENSIONS, FileObject, make_rows, ndjson

SETTINGS = CheckSettings(DIMENSIONS, LIMITS, "full", "auto")
CHECK = SETTINGS.make_check()


@pytest.fixture
def started_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the processes with the first block, wait until they are ready, and read small blocks."""
    monkeypatch.setattr(row_processes, "ALONE_BYTES", 1)
    monkeypatch.setattr(worker_process, "READY_SECONDS", 60.0)
    monkeypatch.setattr(
        ndjson_reader, "read_blocks", lambda stream, position: read_blocks(stream, position, size=4_096, longest=40_000)
    )


def read(path: Path, settings: CheckSettings, processes: Processes) -> list[Rows]:
    """Return the rows of a file, block by block."""
    with closing(NdjsonReader(settings, processes)) as reader:
        rows = [rows._replace(text=bytes(rows.body)) for rows in read_object(FileObject(path), reader, Position(3))]
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


def unusual_table(rng: np.random.Generator, rows: int, value_type: pa.DataType) -> pa.Table:
    """Return vectors of which some are bad, and one has a value that is rounded twice."""
    values: list[Any] = rng.standard_normal((rows, DIMENSIONS)).astype(np.float32).astype(np.float64).tolist()
    values[1][0] = float(ROUNDED_TWICE)
    for bad in ([1.0], None, [math.nan] * DIMENSIONS, [None] * DIMENSIONS):
        values[rng.integers(2, rows)] = bad
    ids = [f"ü{n}" if n % 50 == 7 else f"v{n}" for n in range(rows)]
    ids[rng.integers(2, rows)] = "long" * 20
    return pa.table({
        "id": ids,
        "values": pa.array(values, pa.list_(value_type)),
        "namespace": [f"n{n % 3}" for n in range(rows)],
        "metadata": [{"text": "x" * int(rng.integers(200)), "page": n} for n in range(rows)],
    })


@pytest.mark.usefixtures("started_early")
@pytest.mark.parametrize("float32_text", [True, False])
@pytest.mark.parametrize("value_type", [pa.float32(), pa.float64()])
def test_several_processes_write_the_parquet_rows_of_one(
    tmp_path: Path, value_type: pa.DataType, float32_text: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_reader, "_TEXT_BYTES", 10 * VALUE_BYTES * DIMENSIONS)
    path = tmp_path / "unusual.parquet"
    pq.write_table(unusual_table(np.random.default_rng(1), 900, value_type), path, row_group_size=170)

    def read_parquet(processes: int) -> list[Rows]:
        reader = ParquetRowReader(DEFAULT_FIELDS, DIMENSIONS, LIMITS, float32_text=float32_text, processes=processes)
        with closing(reader):
            return [rows._replace(values=None) for rows in read_object(FileObject(path), reader, Position(3))]

    finished: list[str] = []
    monkeypatch.setattr(PendingValues, "finish_with", noting(finished, PendingValues.finish_with))
    rows = read_parquet(3)
    assert finished
    assert rows == read_parquet(1)
    assert sum(len(each.ids) + len(each.bad) for each in rows) == 900
    assert sum(len(each.bad) for each in rows) == 5


def noting(calls: list[str], method: Any) -> Any:
    """Return a method that notes that it was called."""

    def noted(*arguments: Any) -> Any:
        calls.append(method.__name__)
        return method(*arguments)

    return noted


# ---------------------------------------------------------------- when processes start


def test_small_source_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    path = tmp_path / "small.ndjson"
    path.write_bytes(ndjson(make_rows(2_000)))
    assert sum(len(rows.ends) for rows in read(path, SETTINGS, 2)) == 2_000


def test_large_source_of_known_size_starts_the_processes_at_once() -> None:
    with closing(RowProcesses(SETTINGS, 2)) as processes:
        processes.expect(2 * row_processes.ALONE_BYTES - 1)
        assert not processes.process_ids
        processes.expect(2 * row_processes.ALONE_BYTES)
        assert len(processes.process_ids) == 1


@pytest.mark.usefixtures("started_early")
def test_processes_that_cannot_start_leave_the_rows_to_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    path = tmp_path / "rows.ndjson"
    path.write_bytes(ndjson(make_rows(200)))
    assert sum(len(rows.ends) for rows in read(path, SETTINGS, 2)) == 200
    assert "1 of 2 processes prepare rows. The others cannot start" in caplog.text


def test_auto_starts_processes_for_full_checks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_processes, "available_cpus", lambda: 16)
    assert RowProcesses(SETTINGS, "auto").processes == row_processes.AUTO_PROCESSES
    assert RowProcesses(CheckSettings(DIMENSIONS, LIMITS, "light", "never"), "auto").processes == 1
    monkeypatch.setattr(row_processes, "available_cpus", lambda: 1)
    assert RowProcesses(SETTINGS, "auto").processes == 1


@pytest.mark.parametrize("value", [0, -1, 65, 10**9, 1.5, True, None, "", "two", "0", [2], float("nan")])
def test_processes_that_are_no_useful_number_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="processes must be 'auto' or a whole number from 1 to 64, not "):
        row_processes.processes("processes", value)


@pytest.mark.parametrize(("value", "number"), [("auto", "auto"), (1, 1), ("2", 2), (3.0, 3), (64, 64)])
def test_processes_are_a_number_or_auto(value: Any, number: Any) -> None:
    assert row_processes.processes("processes", value) == number


# ---------------------------------------------------------------- processes that die


def blocks(count: int) -> Iterator[PendingBlock]:
    """Yield small blocks."""
    rows = make_rows(count)
    position = Position()
    for row in rows:
        block = make_block(ndjson([row]), position)
        position = block.end
        yield PendingBlock(block, CHECK)


def ids(checked: Iterator[tuple[PendingBlock, Rows]]) -> list[Any]:
    return [vector_id for _, rows in checked for vector_id in rows.ids]


@pytest.mark.usefixtures("started_early")
def test_rows_of_a_killed_process_are_prepared_again(caplog: pytest.LogCaptureFixture) -> None:
    with closing(RowProcesses(SETTINGS, 3)) as processes:
        found = []
        for number, (_, rows) in enumerate(processes.prepare(blocks(400))):
            found += rows.ids
            if number in (20, 60):
                os.kill(processes.process_ids[number // 40], signal.SIGKILL)
    assert found == [row["id"] for row in make_rows(400)]
    assert caplog.text.count("A process that prepares rows ended early (exit status -9)") == 2


@pytest.mark.usefixtures("started_early")
def test_long_block_is_yielded_before_another_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerProcess, "has_answer", False)  # The processes seem to be slow.
    padding = b" " * worker_process.SLOT_BYTES
    short = list(blocks(4))
    long = [
        PendingBlock(make_block(ndjson([row]).rstrip() + padding + b"\n", Position()), CHECK) for row in make_rows(5)
    ]
    taken = 0

    def take() -> Iterator[PendingBlock]:
        nonlocal taken
        for taken, block in enumerate([*short, *long], start=1):  # noqa: B007 - the processes may take more
            yield block

    with closing(RowProcesses(SETTINGS, 2)) as processes:
        for number, (pending, _) in enumerate(processes.prepare(take()), start=1):
            assert len(pending.block.data) < len(padding) or taken == number
    assert number == 9


@pytest.mark.usefixtures("started_early")
def test_several_processes_raise_what_one_would_raise(caplog: pytest.LogCaptureFixture) -> None:
    with closing(RowProcesses(SETTINGS, 3)) as processes:
        list(processes.prepare(blocks(20)))
        broken = [PendingBlock(pending.block._replace(position=Position(0, 1, None)), CHECK) for pending in blocks(3)]  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            list(processes.prepare(iter(broken)))
        assert ids(processes.prepare(blocks(30))) == [row["id"] for row in make_rows(30)]
    assert "A process that prepares rows failed" in caplog.text


@pytest.mark.usefixtures("started_early")
def test_rows_of_an_object_that_is_left_early_are_forgotten() -> None:
    with closing(RowProcesses(SETTINGS, 3)) as processes:
        for number, _ in enumerate(processes.prepare(blocks(200))):
            if number == 50:
                break
        assert ids(processes.prepare(blocks(100))) == [row["id"] for row in make_rows(100)]


@pytest.mark.usefixtures("started_early")
def test_close_ends_the_processes() -> None:
    processes = RowProcesses(SETTINGS, 3)
    checked = processes.prepare(blocks(100))
    for _, _ in zip(range(10), checked, strict=False):
        pass
    process_ids = processes.process_ids
    processes.close()
    assert len(process_ids) == 2
    assert not any(map(is_running, process_ids))
    assert len(ids(checked)) == 90  # The rest is checked in this process.


PARENT = """
import sys, time
from tests.rows import test_row_processes as tests
tests.row_processes.ALONE_BYTES, tests.worker_process.READY_SECONDS = 1, 60.0
processes = tests.RowProcesses(tests.SETTINGS, 3)
for number, _ in enumerate(processes.prepare(tests.blocks(1_000))):
    if number == 20:
        print(*processes.process_ids, flush=True)
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
    row_processes.ALONE_BYTES, worker_process.READY_SECONDS = 1, 60.0
    with closing(RowProcesses(SETTINGS, 3)) as processes:
        results.put((len(ids(processes.prepare(blocks(50)))), len(processes.process_ids)))


def test_daemonic_process_may_start_processes() -> None:
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=_check_in_daemon, args=(results,), daemon=True)
    process.start()
    process.join(60)
    assert results.get() == (50, 2)


def test_number_of_processes_is_logged(caplog: pytest.LogCaptureFixture, started_early: None) -> None:
    with caplog.at_level(logging.INFO), closing(RowProcesses(SETTINGS, 3)) as processes:
        list(processes.prepare(blocks(5)))
    assert "Now 3 processes prepare rows, with this one." in caplog.text


# ---------------------------------------------------------------- processes in unusual surroundings


def ids_with_two_processes(processes: int = 2) -> tuple[list[Any], int]:
    """Return the IDs of some rows, and how many other processes were started."""
    with closing(RowProcesses(SETTINGS, processes)) as rows:
        return ids(rows.prepare(blocks(50))), len(rows.process_ids)


ALL_IDS = [row["id"] for row in make_rows(50)]


@pytest.mark.usefixtures("started_early")
def test_module_path_with_objects_that_are_no_text_is_passed_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [Path("/somewhere"), *sys.path, None])
    assert ids_with_two_processes() == (ALL_IDS, 1)


@pytest.mark.usefixtures("started_early")
@pytest.mark.parametrize("python_path", ["", ".", "elsewhere:."])
def test_process_imports_no_module_of_the_working_directory(
    python_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", python_path)
    monkeypatch.setattr(sys, "path", [path or str(tmp_path.parent) for path in sys.path])
    assert ids_with_two_processes() == (ALL_IDS, 1)
    assert "ended early" not in caplog.text


@pytest.mark.usefixtures("started_early")
@pytest.mark.parametrize("executable", [None, ""])
def test_interpreter_without_a_path_starts_no_process(
    executable: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert ids_with_two_processes() == (ALL_IDS, 0)
    assert "1 of 2 processes prepare rows. The others cannot start" in caplog.text


@pytest.mark.usefixtures("started_early")
def test_frozen_program_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert ids_with_two_processes() == (ALL_IDS, 0)
    assert "The others cannot start" in caplog.text
    assert not (tmp_path / "started").exists()


@pytest.mark.usefixtures("started_early")
def test_full_disk_starts_no_process(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "w+b"))
    assert ids_with_two_processes() == (ALL_IDS, 0)
    assert "The others cannot start: [Errno 28] No space left on device" in caplog.text


@pytest.mark.usefixtures("started_early")
def test_process_that_hangs_is_ended_and_its_rows_are_prepared_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(RowProcesses(SETTINGS, 2)) as processes:
        found = []
        for number, (_, rows) in enumerate(processes.prepare(blocks(100))):
            found += rows.ids
            if number == 20:
                monkeypatch.setattr(worker_process, "ANSWER_SECONDS", 0.05, raising=False)
                os.kill(processes.process_ids[0], signal.SIGSTOP)
    assert found == [row["id"] for row in make_rows(100)]
    assert "did not answer" in caplog.text
