"""Values as float32 text: a server that parses them as doubles still stores the intended float32."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.rows.checks import Float32Check
from airflow_provider_vectorize.rows.float32 import ROUNDED_TWICE, rounds_twice
from airflow_provider_vectorize.rows.validation import choose_check

#: Number of finite float32 that are not negative. Their bits are the integers below it.
FINITE = 0x7F800000


def changed_by_shortest_text(bits: np.ndarray) -> np.ndarray:
    """Return those float32 whose shortest text is read as another float32."""
    values = bits.astype(np.uint32).view(np.float32)
    text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    read = np.array(orjson.loads(text), np.float64).astype(np.float32)
    different: np.ndarray = values[read.view(np.uint32) != values.view(np.uint32)]
    return different


def test_shortest_text_of_two_million_float32_keeps_all_but_the_known_one() -> None:
    """Draw a random sample. With ``range(FINITE >> 18)`` the test tries all of them, which takes four minutes."""
    for start in np.random.default_rng(7).integers(0, FINITE >> 18, 8):
        assert set(changed_by_shortest_text(np.arange(start << 18, (start + 1) << 18))) <= {ROUNDED_TWICE}


def test_shortest_text_of_the_known_float32_is_read_as_its_neighbor() -> None:
    bits = int(np.array([ROUNDED_TWICE]).view(np.uint32)[0])
    around = np.array([bits, bits + 1], np.uint32)
    assert list(changed_by_shortest_text(around)) == [ROUNDED_TWICE]
    value, above = (Fraction(float(one)) for one in around.view(np.float32))
    text = orjson.dumps(around.view(np.float32)[:1], option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode()
    assert text == "7.038531e-26"
    assert Fraction(text) < (value + above) / 2 == Fraction(float(text))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("row", ["alone", "in a block"])
def test_float32_check_leaves_a_row_with_the_known_float32_unchanged(sign: int, row: str) -> None:
    check = Float32Check(2)
    values = [0.12345678901234567, sign * float(ROUNDED_TWICE)]
    text = json.dumps({"id": "a", "values": values}).encode()
    if row == "in a block":
        lines = text + b"\n" + text + b"\n"
        checked = check.check_block(lines, [len(text) + 1, 2 * len(text) + 2])
        sent = [text] if checked is None else (checked.body or lines).splitlines()
    else:
        sent = [check(text)[1]]
    for one in sent:
        arrived = np.array(json.loads(one)["values"], np.float64).astype(np.float32)
        assert arrived.tobytes() == np.array(values, np.float64).astype(np.float32).tobytes()


def test_rounds_twice_finds_the_value_among_others() -> None:
    assert not rounds_twice(np.array([0, 1, -1, 7.038531e-25, 7.0385295e-26], np.float32))
    assert rounds_twice(np.array([0, -ROUNDED_TWICE], np.float32))


KEYS = st.sampled_from(
    [
        '"id"', '"values"', '"metadata"', '"namespace"', '"x"', '"x\\"values"', '"\\"values"', '"values\\""',
        '",\\"values"',
        '"\\u0076alues"', '"\\u0069d"', '"i\\u0064"', '" values"', '"\\\\"', '"x, \\"values\\": ["', '"values "',
        '"{"', '"["',
    ]
)  # fmt: skip
NUMBERS = st.one_of(
    st.sampled_from([
        "0", "-0", "-0.0", "1", "1.0", "1e0", "1E+0", "100e-2", "0.1", "0.12345678901234567", "7.0385307e-26",
        "-7.038530700000000e-26", "70385307e-33", "1e-45", "7e-46", "1e-400", "3.4028235e38", "3.4028235677973366e38",
        "16777217", "16777216.999999999", "123456789012345678901234567890", "1.17549435e-38",
        "0.1000000000000000055511151231257827021181583404541015625",
    ]),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1e30, 1e30).map(repr),
)  # fmt: skip
ARRAYS = st.lists(NUMBERS, min_size=1, max_size=3).map(lambda numbers: "[" + ", ".join(numbers) + "]")
OTHERS = st.sampled_from(
    ['"a"', '"b"', "null", "{}", '{"values": [1.123456789, 2]}', '{"id": "c"}', '"{"', '"[0.123456789,1]"', '"\\\\"',
     '", \\"values\\": [1.123456789,2]"', '"values"', "[]", "[[1.123456789, 2]]",
     '["values", {"values": [1.123456789]}]']
)  # fmt: skip


@st.composite
def odd_rows(draw: st.DrawFn) -> bytes:
    """Draw a row with keys in any order and spelling, perhaps more than once."""
    values = st.lists(NUMBERS, min_size=2, max_size=2).map(lambda numbers: "[" + ", ".join(numbers) + "]")
    items = [(draw(KEYS), draw(st.one_of(OTHERS, ARRAYS))) for _ in range(draw(st.integers(0, 3)))]
    items += [('"id"', draw(st.sampled_from(['"a"', '"b"', '"\\u0061"'])))]
    items += [('"values"', draw(values))] * draw(st.integers(1, 2))
    space = draw(st.sampled_from(["", " ", "\t"]))
    items = draw(st.permutations(items))
    return ("{" + ("," + space).join(f"{key}{space}:{space}{value}" for key, value in items) + "}").encode()


def pairs_of(text: bytes) -> list[tuple[str, Any]]:
    """Return the keys and values of a row, including repeated keys."""
    objects: list[list[tuple[str, Any]]] = []
    json.loads(text, object_pairs_hook=objects.append)
    return objects[-1]


def reference(text: bytes) -> Any:
    """Parse a row with the standard library, and convert its values to bytes of float32."""
    row = json.loads(text)
    if isinstance(row.get("values"), list):
        row["values"] = np.array(row["values"], np.float64).astype(np.float32).tobytes()
    return row


@settings(max_examples=1_500, deadline=None)
@given(st.lists(odd_rows(), min_size=1, max_size=3))
@pytest.mark.parametrize("float32_text", ["always", "auto"])
def test_float32_check_of_odd_rows_never_changes_their_meaning(float32_text: Any, rows: list[bytes]) -> None:
    """Compare both the block check and the line check with the standard library."""
    check = choose_check(2, LIMITS, "full", float32_text)
    expected: list[tuple[str | None, Any]] = []
    for text in rows:
        try:
            vector_id, sent = check(text)
        except Exception:  # noqa: BLE001 - every error means a bad row
            continue
        assert reference(sent) == reference(text)
        assert vector_id == json.loads(text)["id"]
        expected.append((vector_id, reference(text)))
    data = b"\n".join([*rows, b""])
    checked = check.check_block(data, [at for at, byte in enumerate(data, 1) if byte == 10])
    if checked:
        body = data if checked.body is None else checked.body
        ends = [0, *checked.ends]
        sent_rows = [reference(body[a:b]) for a, b in pairwise(ends)]
        assert list(zip(checked.ids, sent_rows, strict=True)) == expected


@settings(max_examples=1_000, deadline=None)
@given(st.lists(odd_rows(), min_size=1, max_size=3))
def test_no_check_returns_an_id_only_if_all_parsers_agree(rows: list[bytes]) -> None:
    check = choose_check(2, LIMITS, "off", "auto")
    data = b"\n".join([*rows, b""])
    checked = check.check_block(data, [at for at, byte in enumerate(data, 1) if byte == 10])
    assert checked
    for text, vector_id in zip(rows, checked.ids, strict=True):
        assert check(text)[0] == vector_id
        ids = [value for key, value in pairs_of(text) if key == "id"]
        assert (
            vector_id is None or ids[0] == ids[-1] == vector_id
        )  # No parser takes an id between the first and the last.
