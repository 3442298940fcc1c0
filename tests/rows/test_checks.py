"""Checks of rows: float32 text loses nothing, and every validation setting accepts the same vectors."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.rows.checks import Float32Check, FullCheck, LightCheck, RowProblem
from airflow_provider_vectorize.rows.validation import AutoCheck, NoCheck, choose_check
from tests import naive
from tests.support import make_rows


def row_with(values: Any, **more: Any) -> bytes:
    return json.dumps({"id": "a", "values": values, **more}).encode()


def float32(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def assert_same_float32(values: list[float]) -> None:
    """Rewrite a row, and compare the bits of the float32 that a server would store."""
    _, sent = Float32Check(len(values))(row_with(values))
    assert float32(json.loads(sent)["values"]) == float32(values)


def test_float32_check_of_two_million_random_float32_keeps_them() -> None:
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 2**32, 2_200_000, dtype=np.uint32).view(np.float32)
    values = bits[np.isfinite(bits)]  # Includes denormals, zeros of both signs and all exponents.
    assert len(values) > 2_000_000
    for part in np.array_split(values, 20):
        _, sent = Float32Check(len(part))(row_with(part.astype(np.float64).tolist()))
        assert np.array(json.loads(sent)["values"], np.float32).tobytes() == part.tobytes()


def test_float32_check_rounds_float64_like_vectorize() -> None:
    rng = np.random.default_rng(8)
    values = rng.standard_normal(500_000) * 10.0 ** rng.integers(-45, 38, 500_000)
    check = Float32Check(len(values))
    _, sent = check(row_with(values.tolist()))
    assert np.array(json.loads(sent)["values"], np.float32).tobytes() == values.astype(np.float32).tobytes()


@pytest.mark.parametrize(
    "value",
    [
        0.0,
        -0.0,
        1e-45,
        -1e-45,
        7e-46,
        1e-46,
        1.1754942e-38,
        3.4028235e38,
        -3.4028235e38,
        16777217.0,
        0.1,
        1e22,
        123456789.0,
    ],
)
def test_float32_check_keeps_values_at_the_limits_of_float32(value: float) -> None:
    assert_same_float32([value, 0.12345678901234567])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-3.4e38, max_value=3.4e38), min_size=1))
def test_float32_check_of_any_floats_keeps_their_float32(values: list[float]) -> None:
    assert_same_float32(values)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.floats(-1e9, 1e9) | st.integers(-9, 9), min_size=1, max_size=5),
    st.permutations(["id", "values", "namespace", "metadata", "x"]),
    st.text(max_size=8),
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters='.$"'), min_size=1, max_size=4), st.text(max_size=5)
    ),
    st.sampled_from([(", ", ": "), (",", ":"), (" ,  ", " :\t")]),
)
def test_float32_check_changes_only_values_and_never_lengthens_a_row(
    values: list[float], order: list[str], text: str, metadata: dict[str, str], separators: tuple[str, str]
) -> None:
    row = {"id": text, "values": values, "namespace": text, "metadata": metadata, "x": [text, {"values": [1.25]}]}
    original = json.dumps({key: row[key] for key in order}, separators=separators, ensure_ascii=False).encode()
    vector_id, sent = Float32Check(len(values))(original)
    assert vector_id == text
    assert len(sent) <= len(original)
    after = json.loads(sent)
    assert list(after) == order
    assert float32(after.pop("values")) == float32(row.pop("values"))  # type: ignore[arg-type]
    assert after == row


@pytest.mark.parametrize(
    "text",
    [
        b'{"id":"\\"values\\":[9]","values":[0.12345678901234567,2]}',
        b'{"id":"values","x":"values","values":[0.12345678901234567,2]}',
        b'{"x":{"values":[9.123456789012345]},"id":"a","values":[0.12345678901234567,2]}',
        b'{"x":[0.12345678901234567],"id":"a","values":[0.12345678901234567,2]}',
        b'{"metadata":{"values":[9.123456789012345]},"id":"a","values":[0.12345678901234567,2]}',
        b'{"values":[9.123456789012345,8],"id":"a","values":[0.12345678901234567,2]}',
        b'{"id":"[","values":[0.12345678901234567,2]}',
        b'{"id":"{","values":[0.12345678901234567,2]}',
        b'{"id":"a","values" :\t[ 0.12345678901234567 , 2 ] , "metadata" : null }',
        b'{"id":"a","x\\"values":[9.123456789012345,8],"values":[0.12345678901234567,2]}',
        b'{"id":"a","\\"values":[9.123456789012345,8],"values":[0.12345678901234567,2]}',
        b'{"id":"a",",\\"values":[9.123456789012345,8],"values":[0.12345678901234567,2]}',
        b'{"id":"a","x values":[9.123456789012345,8],"values":[0.12345678901234567,2]}',
        b'{"id":"a","values":[9.123456789012345,8],"values":[0.12345678901234567,2]}',
        b'{"id":"a","\\u0076alues":[9.123456789012345,8],"values":[0.12345678901234567,2]}',
        b'{"id":"a","values":[9.123456789012345,8],"\\u0076alues":[0.12345678901234567,2]}',
        b'{"id":"a","x":"\\\\","values":[0.12345678901234567,2]}',
    ],
)
def test_float32_check_finds_the_values_despite_similar_text(text: bytes) -> None:
    _, sent = Float32Check(2)(text)
    before, after = json.loads(text), json.loads(sent)
    assert float32(after.pop("values")) == float32(before.pop("values"))
    assert after == before


def test_float32_check_leaves_whole_numbers_unchanged() -> None:
    text = b'{"id":"a","values":[1,2]}'
    assert Float32Check(2)(text) == ("a", text)


def outcome(check: Any, text: bytes) -> str | None:
    try:
        return str(check(text)[0])
    except (RowProblem, msgspec.DecodeError, RecursionError):
        return None


VALUES = st.lists(st.floats(-9, 9) | st.integers(-9, 9), max_size=3)
ROWS = st.builds(
    lambda row, order: json.dumps({key: row[key] for key in order if key in row}, ensure_ascii=False).encode(),
    st.fixed_dictionaries(
        {"id": st.text(max_size=20) | st.integers(), "values": VALUES},
        optional={
            "metadata": st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3) | VALUES) | VALUES,
            "namespace": st.none() | st.text(max_size=70) | st.integers(),
        },
    ),
    st.permutations(["id", "values", "namespace", "metadata"]),
)


@settings(max_examples=400, deadline=None)
@given(ROWS)
def test_light_check_accepts_the_same_rows_as_the_full_check(text: bytes) -> None:
    text.decode(errors="strict")
    assert outcome(LightCheck(2), text) == outcome(FullCheck(2), text) == naive.vector_id(text, 2)


@pytest.mark.parametrize("validation", ["full", "light"])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"values": [1]}, "1 values, but the index has 2 dimensions"),
        ({"values": []}, "0 values, but the index has 2 dimensions"),
        ({"values": [1, 2, 3]}, "3 values"),
        ({"id": "é" * 33}, "the id has 66 bytes, but at most 64"),
        ({"namespace": "é" * 33}, "the namespace has 66 bytes, but at most 64"),
        ({"metadata": {"": 1}}, "the metadata key '' is invalid: it is empty"),
        ({"metadata": {"$a": 1}}, "begins with \\$"),
        ({"metadata": {"a.b": 1}}, "a.b"),
        ({"metadata": {"k": "x" * 10_240}}, "the metadata has 10248 bytes of compact JSON, but at most 10240"),
    ],
)
def test_check_of_a_bad_row_gives_the_reason(validation: Any, row: dict[str, Any], reason: str) -> None:
    check = choose_check(2, LIMITS, validation, "auto")
    with pytest.raises(RowProblem, match=reason):
        check(json.dumps({"id": "a", "values": [1, 2], **row}).encode())


@pytest.mark.parametrize(
    "row",
    [
        {"id": "é" * 32},
        {"id": "x" * 64},
        {"namespace": "😀" * 16},
        {"metadata": {"k": "x" * 10_232}},
        {"metadata": {"k": "é" * 5_116}},  # Escaped as \u00e9, it is three times as long as compact JSON.
        {"metadata": {}},
        {"metadata": None},
        {"metadata": {"a b": {"n": [1, None, {"x": []}]}}},
        {"unknown": [1, 2]},
    ],
)
def test_check_of_rows_at_the_limits_passes(row: dict[str, Any]) -> None:
    text = json.dumps({"id": "a", "values": [1, 2], **row}).encode()
    assert FullCheck(2)(text) == LightCheck(2)(text) == (row.get("id", "a"), text)


def test_auto_check_rewrites_float64_text_but_not_float32_text() -> None:
    long = [json.dumps(row).encode() for row in make_rows(150)]
    auto = AutoCheck(32)
    assert all(len(auto(text)[1]) < len(text) for text in long)

    short = [Float32Check(32)(text)[1] for text in long]
    auto = AutoCheck(32)
    assert [auto(text)[1] for text in short] == short


def test_no_check_returns_only_a_leading_id_without_escapes() -> None:
    assert NoCheck()(b'{"id":"a","values":[1]}')[0] == "a"
    assert NoCheck()(b' { "id" : "a" }')[0] == "a"
    assert NoCheck()(b'{"values":[1],"id":"a"}')[0] is None
    assert NoCheck()(b'{"id":"\\u0061"}')[0] is None
    with pytest.raises(RowProblem):
        NoCheck()(b"  ")


def test_choose_check_with_invalid_settings_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs validation='full'"):
        choose_check(2, LIMITS, "light", "always")
    with pytest.raises(ConfigError, match="validation must be"):
        choose_check(2, LIMITS, "none", "auto")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="float32_text must be"):
        choose_check(2, LIMITS, "full", "yes")  # type: ignore[arg-type]


def test_full_check_applies_other_limits() -> None:
    check = choose_check(2, Limits(id_bytes=3, namespace_bytes=2, metadata_bytes=9), "full", "never")
    assert check(b'{"id":"abc","values":[1,2],"namespace":"ab","metadata":{"a": "b"}}')[0] == "abc"
    for bad in (b'"id":"abcd"', b'"id":"a","namespace":"abc"', b'"id":"a","metadata":{"a":"bc"}'):
        with pytest.raises(RowProblem):
            check(b'{"values":[1,2],' + bad + b"}")
