"""Blocks that are checked as a whole: only rows pass that would also pass alone."""

from __future__ import annotations

from itertools import accumulate
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.rows import parsing
from airflow_provider_vectorize.rows.parsing import LONG_ROW_BYTES, RowParser
from airflow_provider_vectorize.rows.validation import choose_check
from tests import naive
from tests.rows.test_block_rows import GOOD, ODD, TWO_DIMENSIONS, row


@settings(max_examples=200, deadline=None)
@given(st.lists(GOOD.filter(lambda text: naive.vector_id(text, 2) is not None) | ODD, min_size=1, max_size=4))
@pytest.mark.parametrize("long_row_bytes", [1, LONG_ROW_BYTES])
@pytest.mark.parametrize(("validation", "float32_text"), [("full", "never"), ("full", "always"), ("light", "never")])
def test_check_block_accepts_only_rows_that_the_line_check_accepts(
    validation: Any, float32_text: Any, long_row_bytes: int, lines: list[bytes]
) -> None:
    data = b"\n".join([*lines, b""])
    check = choose_check(2, LIMITS, validation, float32_text)
    ends = [end for end, byte in enumerate(data, 1) if byte == 10]
    with patch.object(parsing, "LONG_ROW_BYTES", long_row_bytes):
        checked = check.check_block(data, ends)
    if checked is None:
        return
    checked_lines = [check(line) for line in lines]
    assert list(checked.ids) == [vector_id for vector_id, _ in checked_lines]
    assert (data if checked.body is None else checked.body) == b"".join(text + b"\n" for _, text in checked_lines)


FRAGMENTS = st.sampled_from([
    row("a"), row("b", metadata={"k": [1]}), b'{"id":"c","values":[1,2],"metadata":{"k":[1', b"2]}}", b"2]}},0,",
    b"]}},", b",", b",0,", b",false,", b"0", b"\n", b"\n", b"\n", b" ",
])  # fmt: skip


@settings(max_examples=1_000, deadline=None)
@given(st.lists(FRAGMENTS, min_size=2, max_size=9))
@example([b'{"id":"c","values":[1,2],"metadata":{"k":[1', b"\n", b"2]}},0,", row("a")])
@example([b'{"id":"c","values":[1,2],"metadata":{"k":[1', b"\n", b"2]}}", b",", row("a")])
@pytest.mark.parametrize("long_row_bytes", [1, LONG_ROW_BYTES])
def test_row_parser_accepts_no_row_that_is_broken_into_lines(long_row_bytes: int, fragments: list[bytes]) -> None:
    lines = b"".join(fragments).split(b"\n")
    ends = list(accumulate(len(line) + 1 for line in lines))
    with patch.object(parsing, "LONG_ROW_BYTES", long_row_bytes):
        parsed = RowParser(2, LIMITS).parse(b"\n".join([*lines, b""]), ends)
    assert parsed is None or parsed.ids == [naive.vector_id(line, 2) for line in lines]


@pytest.mark.fast_parser
@pytest.mark.parametrize("bad", [None, 0, 32, 130, 399])
@pytest.mark.parametrize(("count", "size"), [(400, 20), (400, 3_000), (32, 9_000), (33, 9_000)])
def test_check_block_of_many_rows_checks_all_of_them(count: int, size: int, bad: int | None) -> None:
    lines = [row(f"é {n}", (n, 0.5), metadata={"k": "x" * size}) for n in range(count)]
    if bad is not None:
        lines[bad % count] = row(values=(1, [2]))
    ends = list(accumulate(len(line) + 1 for line in lines))
    beginning_of_next_row = b'{"id":"[\n'
    checked = TWO_DIMENSIONS.check_block(b"\n".join([*lines, beginning_of_next_row]), ends)
    assert (checked is None) == (bad is not None)
    if checked:
        assert checked.ids == [f"é {n}" for n in range(count)]
        assert checked.values is not None
        assert checked.values.tolist() == [[n, 0.5] for n in range(count)]


@pytest.mark.fast_parser
def test_light_check_of_a_block_of_short_rows_does_not_check_their_values() -> None:
    lines = [b'{"id":"a","values":[1,1e39]}', b'{"id":"b","values":[true,"x"]}', b'{"id":"c","values":[NaN,1]}']
    check = choose_check(2, LIMITS, "light", "never")
    checked = check.check_block(b"\n".join([*lines, b""]), list(accumulate(len(line) + 1 for line in lines)))
    assert checked
    assert checked.ids == ["a", "b", "c"]


IDS = st.sampled_from([
    b'{"id":"a","values":[1,2],"id":"b"}', b'{"id":"a","values":[1,2],"\\u0069d":"b"}',
    b'{"id":"a","id":"b","values":[1,2]}', b'{"id":"a","values":[1,2],"metadata":{"id":"b"}}',
    b'{"id":"a","values":[1,"]","x"],"id":"b"}', b'{"id":"a","x":"[","id":"b","values":[1,2]}',
    b'{"values":[1,2],"id":"a"}', b'{"id":"\xff","values":[1,2]}', b'{"id":"\xc3","values":[1,2]}', b'{"id":"a"}',
    b'{"id":"a","values":[],"metadata":{"t":"\\u0069d"}}', b'{"id":"a","values":7,"id":"b"}', b"7",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(GOOD | st.builds(lambda text: text.replace(b'", "', b'" , "'), GOOD) | IDS, min_size=1, max_size=5))
def test_no_check_of_a_block_returns_the_ids_of_its_lines(lines: list[bytes]) -> None:
    check = choose_check(2, LIMITS, "off", "never")
    checked = check.check_block(b"\n".join([*lines, b""]), list(accumulate(len(line) + 1 for line in lines)))
    assert checked
    assert checked.ids == [check(line)[0] for line in lines]


def test_row_parser_parses_blocks_only_if_pysimdjson_is_installed() -> None:
    try:
        import simdjson
    except ImportError:
        simdjson = None  # type: ignore[assignment]
    text = row("a") + b"\n"
    assert (RowParser(2, LIMITS).parse(text, [len(text)]) is not None) == (simdjson is not None)


@pytest.mark.fast_parser
@pytest.mark.parametrize(
    "more", [{}, {"namespace": "en"}, {"metadata": {"a": [1]}}, {"metadata": {}, "namespace": None}]
)
@pytest.mark.parametrize(
    ("validation", "float32_text"), [("full", "never"), ("full", "auto"), ("light", "never"), ("off", "never")]
)
def test_check_block_accepts_ordinary_rows(validation: Any, float32_text: Any, more: dict[str, Any]) -> None:
    check = choose_check(2, LIMITS, validation, float32_text)
    texts = [row(f"é {n}", (0.1, -1e-9), **more) for n in range(3)]
    checked = check.check_block(b"\n".join([*texts, b""]), list(accumulate(len(text) + 1 for text in texts)))
    assert checked
    assert validation == "off" or checked.ids == ["é 0", "é 1", "é 2"]
