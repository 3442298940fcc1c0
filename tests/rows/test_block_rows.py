"""Rows of any bytes, read in any sizes, are those of a simple reference reader."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.rows.block_rows import Rows, check_rows, unprocessed_rows
from airflow_provider_vectorize.rows.mapped_rows import MappedCheck
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.validation import choose_check
from airflow_provider_vectorize.sources.fields import parse_fields
from airflow_provider_vectorize.sources.lines import KEPT_LINE_BYTES, Block, Position, read_blocks
from tests import naive

TWO_DIMENSIONS = choose_check(2, LIMITS, "full", "never")
START = Position()


def row(vector_id: str = "a", values: object = (1, 2.5), **more: object) -> bytes:
    return json.dumps({"id": vector_id, "values": values, **more}).encode()


class Trickle(io.RawIOBase):
    """A stream that returns fewer bytes than requested, like a socket."""

    def __init__(self, data: bytes, sizes: Iterator[int]) -> None:
        self._data = io.BytesIO(data)
        self._sizes = sizes

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(size, next(self._sizes)))


def blocks_of(data: bytes, size: int, position: Position = START, **options: int) -> list[Block]:
    return list(read_blocks(io.BytesIO(data[position.offset :]), position, size=size, **options))


def rows_of(data: bytes, size: int, check: object = TWO_DIMENSIONS) -> list[Rows]:
    return [check_rows(block, check) for block in blocks_of(data, size)]  # type: ignore[arg-type]


def as_naive_lines(rows: list[Rows]) -> list[naive.Line]:
    """Return good and bad rows in the form of the reference reader."""
    lines = []
    for part in rows:
        start = 0
        for row, (vector_id, end) in enumerate(zip(part.ids, part.ends, strict=True)):
            lines.append(
                naive.Line(
                    part.position(row).line,
                    part.position(row).offset,
                    part.body[start:end].strip(b" \t\r\n"),
                    vector_id,
                )
            )
            start = end
        assert start == len(part.body)
        assert part.body.count(b"\n") == len(part.ends)
        lines += [naive.Line(bad.position.line, bad.position.offset, bad.text, None) for bad in part.bad]
    return sorted(lines)


GOOD = st.builds(
    row,
    st.text(max_size=70),
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30), max_size=3),
    namespace=st.none() | st.text(max_size=70),
    metadata=st.none() | st.dictionaries(st.text(max_size=4), st.none() | st.booleans() | st.text(max_size=4)),
)
ODD = st.sampled_from([
    row(), row() + b"\r", b"  " + row(), row("\u2028\u2029\u0085"),
    json.dumps({"id": "\u2028\u0085", "values": [1, 2]}, ensure_ascii=False).encode(),
    b'{"id":"a","values":[1,NaN]}', b'{"id":"a","values":[1,1e39]}', b'{"id":"a","values":[1,1e999]}',
    b'{"id":"a","values":[-0.0,1e-46]}', b'{"id":"a","values":[true,1]}', b'{"id":"a","values":["1",2]}',
    b'{"id":7,"values":[1,2]}', b'{"id":null,"values":[1,2]}', b'{"id":"\\ud800","values":[1,2]}',
    b'{"id":"a","values":[1,2],"x":"\\ud800"}', b'{"id":"a","values":[1,2]} x',
    b"[1,2]", b"null", b"\xff\xfe", b"\xc3",
    b'{"id":"a","values":[1,2],"metadata":"abc"}', b'{"id":"a","values":[1,2],"metadata":["a"]}',
    b'{"values":"12","id":"a"}', b'{"id":"a","values":[[1],2]}',
    b'{"id":"a","values":[[1,2],[]]}', b'{"id":"a","values":[1,2],"metadata":{"k":[[1],"["]}}',
    b'{"id":"a","values":[1,2],"namespace":7}', b"0", b"false", row() + b"," + row(), row() + b",0," + row(),
    row() + b",",
    b'{"id":"a"', b'"values":[1,2]}', b'{"id":"a","values":[1,2],"metadata":{"k":[{}', b"{}]}}",
    b'{"id":"a","id":"b","values":[1,2]}', b'{"id":"a","values":[1,2],"metadata":{"$k":1}}',
    b"", b" \t\r", b"\x0b", b"\x00",
    naive.BOM, naive.BOM + row(), b'{"id":"a","values":[1,2],"metadata":{"k":1e400}}', b"{", b'"',
])  # fmt: skip
LARGE = st.builds(lambda length: row(metadata={"k": "x" * length}), st.sampled_from([10_230, 10_240, 10_300]))
LINES = st.one_of(GOOD, ODD, LARGE, st.binary(max_size=20))
OBJECTS = st.builds(
    lambda lines, ends, last: b"".join(a + b for a, b in zip(lines, ends, strict=False)) + last,
    st.lists(LINES, max_size=12),
    st.lists(st.sampled_from([b"\n", b"\r\n", b"\n\n"]), min_size=12, max_size=12),
    st.just(b"") | LINES,
)


@settings(max_examples=400, deadline=None)
@given(OBJECTS, st.integers(1, 600))
def test_check_rows_returns_the_rows_and_positions_of_the_reference_reader(data: bytes, size: int) -> None:
    assert as_naive_lines(rows_of(data, size)) == naive.read(data, 2)


@settings(max_examples=100, deadline=None)
@given(OBJECTS, st.lists(st.integers(1, 50), min_size=1))
def test_read_blocks_of_a_stream_with_short_reads_returns_the_same_rows(data: bytes, sizes: list[int]) -> None:
    endless_sizes = (size for _ in iter(int, 1) for size in sizes)
    blocks = list(read_blocks(Trickle(data, endless_sizes), Position()))
    assert as_naive_lines([check_rows(block, TWO_DIMENSIONS) for block in blocks]) == naive.read(data, 2)


@settings(max_examples=100, deadline=None)
@given(OBJECTS, st.integers(1, 600))
def test_read_blocks_covers_the_stream_without_gaps(data: bytes, size: int) -> None:
    blocks = blocks_of(data, size)
    assert b"".join(block.data for block in blocks) == data
    parts = [check_rows(block, TWO_DIMENSIONS) for block in blocks]
    for part, block in pairwise(zip(parts, blocks, strict=True)):
        assert part[0].end == block[1].position
    if parts:
        assert parts[-1].end.offset == len(data)


@settings(max_examples=150, deadline=None)
@given(OBJECTS, st.integers(1, 600), st.data())
def test_read_blocks_from_any_block_returns_the_remaining_rows(data: bytes, size: int, draw: st.DataObject) -> None:
    positions = [Position(), *(block.position for block in blocks_of(data, size))]
    position = draw.draw(st.sampled_from(positions))
    rest = [check_rows(block, TWO_DIMENSIONS) for block in blocks_of(data, size, position)]
    assert as_naive_lines(rest) == [line for line in naive.read(data, 2) if line.offset >= position.offset]


@settings(max_examples=150, deadline=None)
@given(OBJECTS, st.integers(20, 600), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=3))
def test_unprocessed_rows_leaves_out_only_processed_rows(data: bytes, size: int, picks: list[tuple[int, int]]) -> None:
    lines = naive.read(data, 2)
    places = [Position(0, line.number, line.offset) for line in lines] or [Position()]
    processed = ProcessedRanges()
    for a, b in picks:
        first, last = sorted((places[a % len(places)], places[b % len(places)]))
        processed = processed.add(first, last)
    left = [unprocessed_rows(rows, processed) for rows in rows_of(data, size)]
    assert as_naive_lines(left) == [
        line for line in lines if not processed.covers(Position(0, line.number, line.offset))
    ]


def test_check_rows_of_random_bytes_match_the_reference_reader() -> None:
    rng = random.Random(42)
    pieces = [
        b"\n",
        b"\r\n",
        b'{"id":"',
        b'","values":[',
        b"1,2",
        b"]}",
        b"\xef\xbb\xbf",
        b"\xff",
        b'"',
        b" ",
        row(),
        row("é"),
    ]
    for size in (1, 7, 64, 4_096, 1 << 20):
        data = b"".join(
            rng.choice(pieces) if rng.random() < 0.7 else rng.randbytes(rng.randrange(30)) for _ in range(20_000)
        )
        assert as_naive_lines(rows_of(data, size)) == naive.read(data, 2)


@pytest.mark.parametrize("size", [1, 3, 10, 64])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n" + row("b"), b"\n" + row("b") + b"\n"])
@pytest.mark.parametrize("before", [b"", row("c") + b"\n", b"\n\n"])
@pytest.mark.parametrize("length", [64, 65, 66, 200])
def test_line_that_is_too_long_is_one_bad_row_and_others_are_good(
    size: int, end: bytes, before: bytes, length: int
) -> None:
    data = before + b"x" * length + end
    rows = [check_rows(block, TWO_DIMENSIONS) for block in blocks_of(data, size, longest=64)]
    ids = [vector_id for part in rows for vector_id in part.ids]
    bad = [one for part in rows for one in part.bad]
    assert ids == (["c"] if b"c" in before else []) + (["b"] if b"b" in end else [])
    assert [(one.position.line, one.position.offset, one.unparsable) for one in bad] == [
        (before.count(b"\n") + 1, len(before), True)
    ]
    assert ("longer than 16 MB" in bad[0].reason) == (length > 64)
    assert rows[-1].end.offset == len(data)
    assert rows[-1].end.line == data.count(b"\n") + (not data.endswith(b"\n")) + 1
    for part, after in pairwise(rows):
        assert part.end <= after.end


def test_line_that_is_too_long_is_reported_before_its_end_is_read() -> None:
    class Endless:
        def __init__(self) -> None:
            self.bytes_read = 0

        def read(self, size: int, /) -> bytes:
            self.bytes_read += size
            return b"x" * size

    stream = Endless()
    block = next(read_blocks(stream, Position(), size=1_000, longest=10_000))
    assert block.overlong
    assert len(block.data) == KEPT_LINE_BYTES
    assert stream.bytes_read <= 11_000


@pytest.mark.parametrize("where", ['"metadata":', '"x":'])
@pytest.mark.parametrize("validation", ["full", "light"])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"k":', "}")])
def test_row_with_100_000_levels_of_nesting_is_a_bad_row(
    where: str, validation: str, brackets: tuple[str, str]
) -> None:
    left, right = brackets
    deep = f'{{"id":"a","values":[1,2],{where}{left * 100_000}1{right * 100_000}}}'.encode()
    check = choose_check(2, LIMITS, validation, "auto")  # type: ignore[arg-type]
    (rows,) = rows_of(b"\n".join([row("b"), deep, row("c"), b""]), 1 << 20, check)
    assert rows.ids == ["b", "c"]
    assert [(bad.position.line, bad.reason) for bad in rows.bad] == [(2, "not a valid JSON vector: nested too deeply")]


def test_line_ends_only_at_a_newline() -> None:
    data = json.dumps({"id": "\u2028\u2029\u0085\v\f", "values": [1, 2]}, ensure_ascii=False).encode()
    (rows,) = rows_of(data, 10)
    assert rows.position(0).line == 1
    assert rows.ids == ["\u2028\u2029\u0085\v\f"]


@pytest.mark.parametrize("indent", [None, 1], ids=["in one line", "formatted"])
@pytest.mark.parametrize("mapped", [False, True])
def test_json_that_is_not_ndjson_has_bad_rows_that_say_so(indent: int | None, mapped: bool) -> None:
    data = json.dumps([json.loads(row()), json.loads(row("b"))], indent=indent).encode()
    check = MappedCheck(TWO_DIMENSIONS, parse_fields("fields", {"id": "key"})) if mapped else TWO_DIMENSIONS
    bad = [bad for rows in rows_of(data, 100, check) for bad in rows.bad]
    advised = [found for found in bad if found.text.startswith((b"[", b"{", b'"id"'))]
    assert advised
    assert all("without an array or commas around them" in found.reason for found in advised)


def test_bad_row_of_ndjson_has_no_advice_about_arrays() -> None:
    for line in (row(values=[1]), b"hello", row()[:20], row() + b"x"):
        ((bad,),) = [rows.bad for rows in rows_of(line, 100)]
        assert "array or commas" not in bad.reason
