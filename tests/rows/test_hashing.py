"""Tests of the hashes of rows: equal for equal meaning, whatever the text and the way of checking."""

from __future__ import annotations

import json
import random
from itertools import accumulate
from typing import Any

import numpy as np
import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.rows.bad_row_ids import readable_id
from airflow_provider_vectorize.rows.block_rows import Rows, check_rows, select_rows, with_short_values
from airflow_provider_vectorize.rows.check_settings import CheckSettings
from airflow_provider_vectorize.rows.float32 import ROUNDED_TWICE
from airflow_provider_vectorize.rows.hashing import RowHasher, is_comparable
from airflow_provider_vectorize.rows.validation import choose_check
from airflow_provider_vectorize.sources.lines import Block, Position

VALUES = [0.1, -2.5, 3e-7, 12345.678]


def row_hash(changed_by: str = "row", **row: Any) -> int:
    return RowHasher(changed_by).hash_line(json.dumps({"id": "a", "values": VALUES} | row).encode())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"metadata": {"a": 1, "b": "x"}}, {"metadata": {"b": "x", "a": 1.0}}),
        ({"metadata": {"a": {"c": 1, "b": [1.0, None]}}}, {"metadata": {"a": {"b": [1, None], "c": 1}}}),
        ({"metadata": {"a": None}}, {}),
        ({"metadata": {}}, {"metadata": None}),
        ({"namespace": None}, {"namespace": ""}),
        ({"values": [0.0, 1.0]}, {"values": [-0.0, 1]}),
        ({"values": [0.1]}, {"values": [0.1 + 1e-12]}),
        ({"id": "a"}, {"id": "b"}),
    ],
)
def test_hash_is_equal_for_equal_meaning(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert row_hash(**first) == row_hash(**second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"values": [0.1]}, {"values": [0.1000001]}),
        ({"metadata": {"a": 1}}, {"metadata": {"a": "1"}}),
        ({"metadata": {"a": 1}}, {"metadata": {"a": True}}),
        ({"metadata": {"a": 2**53}}, {"metadata": {"a": 2**53 + 1}}),
        ({"metadata": {"a": 10**25}}, {"metadata": {"a": 10**25 + 1}}),
        ({"namespace": "a"}, {"namespace": "b"}),
        ({"namespace": "a"}, {"metadata": {"a": ""}}),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "B"}}),
    ],
)
def test_hash_differs_for_different_meaning(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert row_hash(**first) != row_hash(**second)


def test_hash_by_key_compares_only_the_key() -> None:
    one = row_hash("metadata.a", values=[1.0], namespace="x", metadata={"a": "h", "b": 1})
    assert one == row_hash("metadata.a", values=[2.0], metadata={"a": "h", "b": 2})
    assert one != row_hash("metadata.a", values=[1.0], namespace="x", metadata={"a": "i", "b": 1})
    assert row_hash("metadata.a.b", metadata={"a": {"b": 1}}) == row_hash("metadata.a.b", metadata={"a": {"b": 1.0}})


def test_hash_by_key_of_row_without_key_compares_the_row() -> None:
    assert row_hash("metadata.a", metadata={"b": 1}) != row_hash("metadata.a", metadata={"b": 2})


def random_rows(seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    metadata: list[Any] = [
        {"t": "é☃", "n": 1}, {"n": 1.0, "t": "x"}, {"l": [1, 2.5], "o": {"a": None, "b": True}}, {}, None,
        {"big": 2**63, "small": -5, "float": 1e300},
    ]  # fmt: skip
    rows = []
    for number in range(20):
        row: dict[str, Any] = {"id": f"v{number}", "values": [rng.uniform(-1, 1) for _ in range(4)]}
        if rng.random() < 0.5:
            row["metadata"] = rng.choice(metadata)
        if rng.random() < 0.3:
            row["namespace"] = rng.choice(["n", None, ""])
        rows.append(row)
    return rows


def checked_random_rows(seed: int, float32_text: Any, hasher: RowHasher) -> Rows:
    lines = [json.dumps(row).encode() + b"\n" for row in random_rows(seed)]
    block = Block(b"".join(lines), Position(), list(accumulate(map(len, lines))))
    return check_rows(block, choose_check(4, Limits(), "full", float32_text, hasher))


@pytest.mark.fast_parser
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("float32_text", ["auto", "always", "never"])
def test_hashes_of_block_and_lines_agree(seed: int, float32_text: Any) -> None:
    hasher = RowHasher()
    checked = checked_random_rows(seed, float32_text, hasher)
    assert checked.hashes is not None
    assert checked.hashes == hasher.hash_lines(checked.body, checked.ends)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("float32_text", ["auto", "always", "never"])
def test_hashes_of_lines_and_vectors_agree(seed: int, float32_text: Any) -> None:
    hasher = RowHasher()
    checked = checked_random_rows(seed, float32_text, hasher)
    assert hasher.hash_lines(checked.body, checked.ends) == [
        hasher.hash_vector(np.array(row["values"], np.float32).tolist(), row.get("namespace"), row.get("metadata"))
        for row in random_rows(seed)
    ]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("float32_text", ["auto", "always", "never"])
def test_rows_that_a_sync_selects_have_the_text_of_a_load(seed: int, float32_text: Any) -> None:
    lines = [json.dumps(row).encode() + b"\n" for row in random_rows(seed) * 11]
    selected = sorted(random.Random(seed).sample(range(len(lines)), 50))
    texts = []
    for hasher, selective, has_values in (
        (None, False, True),
        (RowHasher(), False, True),
        (RowHasher(), True, True),
        (RowHasher(), True, False),  # Another process has checked the rows.
    ):
        check = choose_check(4, Limits(), "full", float32_text, hasher, selective)
        blocks = [lines[:110], lines[110:]]  # "auto" decides after the first one.
        checked = [check_rows(Block(b"".join(block), Position(), ends_of(block)), check) for block in blocks]
        if not has_values:
            checked = [rows._replace(values=None) for rows in checked]
        chosen = [[row - first for row in selected if 0 <= row - first < 110] for first in (0, 110)]
        sent = [with_short_values(select_rows(*each)) for each in zip(checked, chosen, strict=True)]
        all_rows = [with_short_values(rows) for rows in checked]
        texts.append([(rows.body, list(rows.ends), rows.shorten, rows.source_range) for rows in sent + all_rows])

    assert texts[0] == texts[1] == texts[2] == texts[3]
    assert (texts[0][2][0] == b"".join(lines[:110])) is (float32_text == "never")


def ends_of(lines: list[bytes]) -> list[int]:
    return list(np.cumsum([len(line) for line in lines]).tolist())


@pytest.mark.fast_parser
@pytest.mark.parametrize("has_values", [True, False])
def test_selected_row_with_a_value_that_rounds_twice_keeps_its_text(has_values: bool) -> None:
    line = b'{"id": "a", "values": [%r, 0.12345678901]}\n' % float(ROUNDED_TWICE)
    check = choose_check(2, Limits(), "full", "always", RowHasher(), selective=True)
    rows = check_rows(Block(line, Position(), [len(line)]), check)
    assert rows.shorten
    sent = with_short_values(rows if has_values else rows._replace(values=None))
    assert (sent.body, sent.ends, sent.shorten) == (line, [len(line)], False)


@pytest.mark.fast_parser
def test_work_of_another_process_returns_hashes_without_values() -> None:
    line = b'{"id": "a", "values": [0.12345678901, 2]}\n'
    settings = CheckSettings(2, Limits(), "full", "always", RowHasher(), selective=True)
    rows, text = settings.make_work()(line, Position())
    assert (rows.values, text, rows.shorten) == (None, None, True)
    assert rows.hashes == [RowHasher().hash_line(line)]


def test_check_without_hasher_calculates_no_hashes() -> None:
    line = b'{"id": "a", "values": [1, 2]}\n'
    assert check_rows(Block(line, Position(), [len(line)]), choose_check(2, Limits(), "full", "auto")).hashes is None


@pytest.mark.parametrize(
    ("metadata", "comparable"),
    [(None, True), ({"a": [1, "x", {"b": True}]}, True), ({"a": 2**53}, False), ({"a": -1e300}, False)],
)
def test_is_comparable_excludes_numbers_that_javascript_rounds(metadata: Any, comparable: bool) -> None:
    assert is_comparable(metadata) is comparable


@pytest.mark.parametrize(
    ("text", "vector_id"),
    [
        (b'{"id": "a", "values": [NaN, Infinity]}', "a"),
        (b'{"values": 1, "metadata": {"id": "b"}, "id": "a"}', "a"),
        (b'{"id": "a"}{"id": "b"}', None),
        (b'{"id": "a", "values": [1,', None),
        (b'{"id": "a", "id": "b"}', None),
        (b'{"id": 1}', None),
        (b'{"id": ""}', None),
        (b'["id", "a"]', None),
        (b'{"values": []}', None),
        (b"\xff", None),
    ],
)
def test_readable_id_is_certain_or_missing(text: bytes, vector_id: str | None) -> None:
    assert readable_id(text) == vector_id
