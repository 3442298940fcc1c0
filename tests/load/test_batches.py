"""Test batches and bodies: exact limits, the fewest requests, no lost row, and bytes that can be sent again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.load.batches import Batch, split_into_batches
from airflow_provider_vectorize.load.bodies import SEND_BYTES, BatchFile, BatchFilePool, Body, FileRange
from airflow_provider_vectorize.rows.block_rows import Rows, check_rows
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.validation import choose_check
from airflow_provider_vectorize.sources.lines import Position, read_blocks
from tests import naive

CHECK = choose_check(1, LIMITS, "full", "never")


def check_blocks(objects: list[bytes], read_bytes: int) -> list[Rows]:
    return [
        check_rows(block, CHECK)
        for number, data in enumerate(objects)
        for block in read_blocks(io.BytesIO(data), Position(number), size=read_bytes)
    ]


def row(length: int, number: int) -> bytes:
    return json.dumps({"id": f"{number}", "values": [1], "x": "x" * length}).encode()


LINES = st.lists(st.one_of(st.integers(0, 60), st.sampled_from([b"", b"bad", b"\r"])), max_size=30)
OBJECTS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n"]), st.booleans()), max_size=4)


def make_contents(objects: list[tuple[list[int | bytes], bytes, bool]]) -> list[bytes]:
    count = 0
    contents = []
    for lines, newline, last in objects:
        texts = []
        for line in lines:
            texts.append(line if isinstance(line, bytes) else row(line, count))
            count += 1
        contents.append(newline.join(texts) + (newline if last else b""))
    return contents


@settings(max_examples=400, deadline=None)
@given(OBJECTS, st.integers(1, 400), st.integers(1, 7), st.integers(40, 400))
def test_batches_any_rows_respect_limits_and_lose_nothing(
    objects: list[tuple[list[int | bytes], bytes, bool]], read_bytes: int, max_rows: int, max_bytes: int
) -> None:
    contents = make_contents(objects)
    limits = Limits(vectors_per_request=max_rows, bytes_per_request=max_bytes)
    batches = list(split_into_batches(check_blocks(contents, read_bytes), limits, Position()))
    expected = [(number, line) for number, data in enumerate(contents) for line in naive.read(data, 1)]
    good = [(Position(number, line.number, line.offset), line.text) for number, line in expected if line.id is not None]
    bad = [(Position(number, line.number, line.offset), line.text) for number, line in expected if line.id is None]

    # No row is lost, and each keeps its position.
    assert [(batch.position(n), batch.text(n)) for batch in batches for n in range(len(batch))] == good
    assert [batch.ids[n] for batch in batches for n in range(len(batch))] == [
        json.loads(text)["id"] for _, text in good
    ]
    assert [(bad_row.position, bad_row.text) for batch in batches for bad_row in batch.bad_rows] == bad

    # Both limits are kept, and a body can be read twice.
    for batch in batches:
        assert len(batch) <= max_rows
        assert batch.size <= max_bytes or len(batch) == 1
        body = bytes(batch.body()) if len(batch) else b""
        assert len(body) == batch.size
        assert bytes(batch.body()) == body if len(batch) else True
        assert body.count(b"\n") == len(batch)
        for n in range(len(batch)):
            assert bytes(batch.body(n, n + 1)).rstrip(b"\r\n") == batch.text(n)

    # Batches are as few as possible: the first row of the next batch does not fit into any of them.
    for batch, after in pairwise(batches):
        assert len(batch) == max_rows or batch.size + len(bytes(after.body(0, 1))) > max_bytes

    # Each batch represents a range of the source, and together they cover all of it.
    assert [batch.last for batch in batches] == [False] * (len(batches) - 1) + [True]
    assert batches[0].start == Position()
    for batch, after in pairwise(batches):
        assert batch.end == after.start
        assert len(after)
    for batch in batches:
        positions = [*(batch.position(n) for n in range(len(batch))), *(bad.position for bad in batch.bad_rows)]
        assert all(batch.start <= position < batch.end for position in positions)
    processed = ProcessedRanges()
    for batch in reversed(batches):
        processed = processed.add(batch.start, batch.end)
    assert not processed.has_gaps
    assert all(processed.covers(position) for position, _ in [*good, *bad])


def test_batches_5001_small_vectors_make_two() -> None:
    data = b"".join(row(0, number) + b"\n" for number in range(5_001))
    assert [len(batch) for batch in split_into_batches(check_blocks([data], 1 << 16), LIMITS, Position())] == [5_000, 1]


@pytest.mark.parametrize("spare", [0, 1])
def test_batches_rows_that_fit_exactly_share_one(spare: int) -> None:
    data = b"".join(row(10, number) + b"\n" for number in range(1_000, 1_010))
    limits = Limits(bytes_per_request=len(data) - 1 + spare)
    assert [len(batch) for batch in split_into_batches(check_blocks([data], 64), limits, Position())] == (
        [10] if spare else [9, 1]
    )


def test_batches_many_small_objects_share_one() -> None:
    objects = [row(0, number) for number in range(300)]
    (batch,) = split_into_batches(check_blocks(objects, 1 << 16), LIMITS, Position())
    assert len(batch) == 300
    assert [batch.position(n) for n in range(300)] == [Position(n, 1, 0) for n in range(300)]


def test_batches_no_rows_make_one_empty_last_batch() -> None:
    (batch,) = split_into_batches([], LIMITS, Position(2, 3, 4))
    assert (len(batch), batch.size, batch.last, batch.start, batch.end) == (
        0,
        0,
        True,
        Position(2, 3, 4),
        Position(2, 3, 4),
    )


def test_body_is_read_in_large_chunks_at_each_iteration() -> None:
    file = BatchFile()
    content = bytes(range(256)) * (SEND_BYTES // 256 * 2 + 3)
    file.write(content)
    body = Body([FileRange(file, 5, len(content) - 12)])
    assert len(body) == len(content) - 12
    chunks = list(body)
    assert b"".join(chunks) == b"".join(body) == content[5:-7]
    assert [len(chunk) for chunk in chunks[:-1]] == [SEND_BYTES] * (len(chunks) - 1)


def test_body_truncated_temporary_file_is_no_connection_error() -> None:
    file = BatchFile()
    file.write(b"abc")
    with pytest.raises(
        VectorizeError, match=r"The temporary directory .* cannot be used: the file of a batch is shorter"
    ):
        list(Body([FileRange(file, 0, 10)]))


def test_batch_close_releases_temporary_file_for_reuse() -> None:
    pool = BatchFilePool()
    first, second = Batch(Position(), Position(), pool), Batch(Position(), Position(), pool)
    (rows,) = check_blocks([row(20, 1) + b"\n" + row(0, 2) + b"\n"], 1 << 16)
    first.add(rows, 0, 2)
    file = first.file.file if first.file else None
    first.close()
    second.add(rows, 1, 2)
    assert second.file
    assert second.file.file is file
    assert bytes(second.body()) == row(0, 2) + b"\n"
    second.close()
    pool.close()
    assert file
    assert file.closed


def test_batch_full_temporary_directory_raises_clear_error(tmp_path: Path) -> None:
    script = """
import resource, sys
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.load.batches import Batch
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.rows.block_rows import Rows
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
batch = Batch(Position(), Position())
rows = Rows(0, b"x" * 2_000, [2_000], ["a"], [1], 0, [0], [], Position())
try:
    batch.add(rows, 0, 1)
except VectorizeError as error:
    sys.stdout.write(str(error))
"""
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert process.stdout.startswith(f"The temporary directory {tmp_path} cannot be used: File too large.")
    assert "set TMPDIR to a directory on another disk" in process.stdout
