"""A row → what is sent of it: float32 text loses nothing, and every depth of checking ends with the same vectors."""

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


def text_of(values: Any, **more: Any) -> bytes:
    return json.dumps({"id": "a", "values": values, **more}).encode()


def float32(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def sent_as_float32(values: list[float]) -> None:
    """Write a row anew, and compare what a server would store of it, bit for bit."""
    _, sent = Float32Check(len(values))(text_of(values))
    assert float32(json.loads(sent)["values"]) == float32(values)


def test_float32_text_gives_the_same_float32_for_two_million_values_of_every_exponent() -> None:
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 2**32, 2_200_000, dtype=np.uint32).view(np.float32)
    values = bits[np.isfinite(bits)]  # denormals, zeros of both signs and all exponents among them
    assert len(values) > 2_000_000
    for part in np.array_split(values, 20):
        _, sent = Float32Check(len(part))(text_of(part.astype(np.float64).tolist()))
        assert np.array(json.loads(sent)["values"], np.float32).tobytes() == part.tobytes()


def test_float32_text_rounds_float64_as_vectorize_does() -> None:
    rng = np.random.default_rng(8)
    values = rng.standard_normal(500_000) * 10.0 ** rng.integers(-45, 38, 500_000)
    check = Float32Check(len(values))
    _, sent = check(text_of(values.tolist()))
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
def test_values_at_the_edges_of_float32_stay_what_they_are(value: float) -> None:
    sent_as_float32([value, 0.12345678901234567])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-3.4e38, max_value=3.4e38), min_size=1))
def test_any_floats_are_the_same_float32_when_they_are_written_anew(values: list[float]) -> None:
    sent_as_float32(values)


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
def test_writing_values_anew_never_makes_a_row_longer_and_touches_nothing_else(
    values: list[float], order: list[str], text: str, metadata: dict[str, str], separators: tuple[str, str]
) -> None:
    row = {"id": text, "values": values, "namespace": text, "metadata": metadata, "x": [text, {"values": [1.25]}]}
    written = json.dumps({key: row[key] for key in order}, separators=separators, ensure_ascii=False).encode()
    vector_id, sent = Float32Check(len(values))(written)
    assert vector_id == text
    assert len(sent) <= len(written)
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
def test_brackets_and_words_in_other_places_are_not_taken_for_the_values(text: bytes) -> None:
    _, sent = Float32Check(2)(text)
    before, after = json.loads(text), json.loads(sent)
    assert float32(after.pop("values")) == float32(before.pop("values"))
    assert after == before


def test_whole_numbers_are_shorter_as_they_stand() -> None:
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
def test_the_light_check_finds_the_same_as_the_full_one_where_values_are_numbers(text: bytes) -> None:
    text.decode(errors="strict")
    assert outcome(LightCheck(2), text) == outcome(FullCheck(2), text) == naive.vector_id(text, 2)


@pytest.mark.parametrize("validation", ["full", "light"])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"values": [1]}, "1 values, but the index has 2 dimensions"),
        ({"values": []}, "0 values, but the index has 2 dimensions"),
        ({"values": [1, 2, 3]}, "3 values"),
        ({"id": "é" * 33}, "the id has 66 bytes, at most 64"),
        ({"namespace": "é" * 33}, "the namespace has 66 bytes, at most 64"),
        ({"metadata": {"": 1}}, "the metadata key '' is empty"),
        ({"metadata": {"$a": 1}}, "begins with \\$"),
        ({"metadata": {"a.b": 1}}, "a.b"),
        ({"metadata": {"k": "x" * 10_240}}, "the metadata has 10248 bytes of compact JSON, at most 10240"),
    ],
)
def test_the_reason_says_what_is_wrong(validation: Any, row: dict[str, Any], reason: str) -> None:
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
        {"metadata": {"k": "é" * 5_116}},  # written as \u00e9 it is three times as long as the compact form
        {"metadata": {}},
        {"metadata": None},
        {"metadata": {"a b": {"n": [1, None, {"x": []}]}}},
        {"unknown": [1, 2]},
    ],
)
def test_rows_at_the_limits_pass(row: dict[str, Any]) -> None:
    text = json.dumps({"id": "a", "values": [1, 2], **row}).encode()
    assert FullCheck(2)(text) == LightCheck(2)(text) == (row.get("id", "a"), text)


def test_auto_rewrites_float64_text_and_leaves_float32_text_as_it_is() -> None:
    long = [json.dumps(row).encode() for row in make_rows(150)]
    auto = AutoCheck(32)
    assert all(len(auto(text)[1]) < len(text) for text in long)

    short = [Float32Check(32)(text)[1] for text in long]
    auto = AutoCheck(32)
    assert [auto(text)[1] for text in short] == short


def test_without_a_check_the_id_is_known_only_where_it_comes_first_and_plainly() -> None:
    assert NoCheck()(b'{"id":"a","values":[1]}')[0] == "a"
    assert NoCheck()(b' { "id" : "a" }')[0] == "a"
    assert NoCheck()(b'{"values":[1],"id":"a"}')[0] is None
    assert NoCheck()(b'{"id":"\\u0061"}')[0] is None
    with pytest.raises(RowProblem):
        NoCheck()(b"  ")


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs validation='full'"):
        choose_check(2, LIMITS, "light", "always")
    with pytest.raises(ConfigError, match="validation must be"):
        choose_check(2, LIMITS, "none", "auto")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="float32_text must be"):
        choose_check(2, LIMITS, "full", "yes")  # type: ignore[arg-type]


def test_other_limits_are_those_that_count() -> None:
    check = choose_check(2, Limits(id_bytes=3, namespace_bytes=2, metadata_bytes=9), "full", "never")
    assert check(b'{"id":"abc","values":[1,2],"namespace":"ab","metadata":{"a": "b"}}')[0] == "abc"
    for bad in (b'"id":"abcd"', b'"id":"a","namespace":"abc"', b'"id":"a","metadata":{"a":"bc"}'):
        with pytest.raises(RowProblem):
            check(b'{"values":[1,2],' + bad + b"}")
