"""Rows → batches: both limits exactly, the fewest requests, nothing left out, and bytes that can be sent again."""

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
from airflow_provider_vectorize.load.batches import Batch, cut
from airflow_provider_vectorize.load.bodies import SEND_BYTES, Body, Extent, Spool, Spools
from airflow_provider_vectorize.rows.block_rows import Rows, check_rows
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.validation import choose_check
from airflow_provider_vectorize.sources.lines import Position, read_blocks
from tests import naive

CHECK = choose_check(1, LIMITS, "full", "never")


def rows_of(objects: list[bytes], size: int) -> list[Rows]:
    return [
        check_rows(block, CHECK)
        for number, data in enumerate(objects)
        for block in read_blocks(io.BytesIO(data), Position(number), size=size)
    ]


def row(length: int, number: int) -> bytes:
    return json.dumps({"id": f"{number}", "values": [1], "x": "x" * length}).encode()


LINES = st.lists(st.one_of(st.integers(0, 60), st.sampled_from([b"", b"bad", b"\r"])), max_size=30)
OBJECTS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n"]), st.booleans()), max_size=4)


def written(objects: list[tuple[list[int | bytes], bytes, bool]]) -> list[bytes]:
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
def test_batches_respect_both_limits_are_as_few_as_can_be_and_leave_nothing_out(
    objects: list[tuple[list[int | bytes], bytes, bool]], size: int, most: int, most_bytes: int
) -> None:
    contents = written(objects)
    limits = Limits(vectors_per_request=most, bytes_per_request=most_bytes)
    batches = list(cut(rows_of(contents, size), limits, Position()))
    expected = [(number, line) for number, data in enumerate(contents) for line in naive.read(data, 1)]
    good = [(Position(number, line.number, line.offset), line.text) for number, line in expected if line.id is not None]
    bad = [(Position(number, line.number, line.offset), line.text) for number, line in expected if line.id is None]

    # nothing is left out, nothing changes its place
    assert [(batch.position(n), batch.text(n)) for batch in batches for n in range(len(batch))] == good
    assert [batch.ids[n] for batch in batches for n in range(len(batch))] == [
        json.loads(text)["id"] for _, text in good
    ]
    assert [(one.position, one.text) for batch in batches for one in batch.bad] == bad

    # both limits
    for batch in batches:
        assert len(batch) <= most
        assert batch.size <= most_bytes or len(batch) == 1
        body = bytes(batch.body()) if len(batch) else b""
        assert len(body) == batch.size
        assert bytes(batch.body()) == body if len(batch) else True  # again, byte for byte
        assert body.count(b"\n") == len(batch)
        for n in range(len(batch)):
            assert bytes(batch.body(n, n + 1)).rstrip(b"\r\n") == batch.text(n)

    # the fewest: each is full, since not even the next one's first row fits in
    for batch, after in pairwise(batches):
        assert len(batch) == most or batch.size + len(bytes(after.body(0, 1))) > most_bytes

    # each speaks for its part of the source, and together they speak for all of it
    assert [batch.last for batch in batches] == [False] * (len(batches) - 1) + [True]
    assert batches[0].start == Position()
    for batch, after in pairwise(batches):
        assert batch.end == after.start
        assert len(after)
    for batch in batches:
        places = [*(batch.position(n) for n in range(len(batch))), *(one.position for one in batch.bad)]
        assert all(batch.start <= place < batch.end for place in places)
    done = ProcessedRanges()
    for batch in reversed(batches):
        done = done.add(batch.start, batch.end)
    assert not done.has_gaps
    assert all(done.covers(place) for place, _ in [*good, *bad])


def test_five_thousand_and_one_small_vectors_are_two_batches() -> None:
    data = b"".join(row(0, number) + b"\n" for number in range(5_001))
    assert [len(batch) for batch in cut(rows_of([data], 1 << 16), LIMITS, Position())] == [5_000, 1]


@pytest.mark.parametrize("spare", [0, 1])
def test_a_batch_is_full_to_the_last_byte(spare: int) -> None:
    data = b"".join(row(10, number) + b"\n" for number in range(1_000, 1_010))
    limits = Limits(bytes_per_request=len(data) - 1 + spare)
    assert [len(batch) for batch in cut(rows_of([data], 64), limits, Position())] == ([10] if spare else [9, 1])


def test_rows_of_many_small_objects_share_a_batch() -> None:
    objects = [row(0, number) for number in range(300)]
    (batch,) = cut(rows_of(objects, 1 << 16), LIMITS, Position())
    assert len(batch) == 300
    assert [batch.position(n) for n in range(300)] == [Position(n, 1, 0) for n in range(300)]


def test_no_rows_make_one_empty_batch_which_is_the_last() -> None:
    (batch,) = cut([], LIMITS, Position(2, 3, 4))
    assert (len(batch), batch.size, batch.last, batch.start, batch.end) == (
        0,
        0,
        True,
        Position(2, 3, 4),
        Position(2, 3, 4),
    )


def test_a_body_is_read_in_large_pieces_and_anew_each_time() -> None:
    spool = Spool()
    content = bytes(range(256)) * (SEND_BYTES // 256 * 2 + 3)
    spool.write(content)
    span = Body([Extent(spool, 5, len(content) - 12)])
    assert len(span) == len(content) - 12
    pieces = list(span)
    assert b"".join(pieces) == b"".join(span) == content[5:-7]
    assert [len(piece) for piece in pieces[:-1]] == [SEND_BYTES] * (len(pieces) - 1)


def test_a_temporary_file_that_lost_its_bytes_does_not_pass_for_a_lost_connection() -> None:
    spool = Spool()
    spool.write(b"abc")
    with pytest.raises(
        VectorizeError, match=r"The temporary directory .* cannot be used: the file of a batch is shorter"
    ):
        list(Body([Extent(spool, 0, 10)]))


def test_a_batch_gives_its_temporary_file_to_the_next_one() -> None:
    spools = Spools()
    first, second = Batch(Position(), Position(), spools), Batch(Position(), Position(), spools)
    (rows,) = rows_of([row(20, 1) + b"\n" + row(0, 2) + b"\n"], 1 << 16)
    first.add(rows, 0, 2)
    file = first.spool.file if first.spool else None
    first.close()
    second.add(rows, 1, 2)
    assert second.spool
    assert second.spool.file is file
    assert bytes(second.body()) == row(0, 2) + b"\n"
    second.close()
    spools.close()
    assert file
    assert file.closed


def test_a_full_temporary_directory_is_said_so(tmp_path: Path) -> None:
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
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(f"The temporary directory {tmp_path} cannot be used: File too large.")
    assert "point TMPDIR to another disk" in found.stdout
