"""The encoder for rows from Python: every NumPy layout, and a defined outcome for every other type."""

from __future__ import annotations

import array
import dataclasses
import enum
import json
import math
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from airflow_provider_vectorize.rows.encoding import EncodingError, encode_row, non_finite_place, request_bodies
from airflow_provider_vectorize.rows.float32 import ROUNDED_TWICE


class Subclass(np.ndarray):
    """A subclass, like ``np.matrix`` and ``np.memmap``."""


GRID = np.arange(6, dtype=np.float32).reshape(2, 3) + np.float32(0.1)
PLAIN = GRID.tolist()


#: Values whose shortest text is read as another float32: see `rows/float32.py`.
TWICE = np.array([1, ROUNDED_TWICE, -ROUNDED_TWICE], np.float32)


@pytest.mark.parametrize(
    "values",
    [TWICE, list(TWICE), TWICE[::-1], TWICE.astype(">f4"), TWICE.astype(np.float64), TWICE.tolist(), [TWICE[1]] * 3],
    ids=["array", "scalars", "reversed", "big-endian", "float64", "floats", "one"],
)
def test_encode_row_with_the_float32_that_rounds_twice_keeps_it(values: Any) -> None:
    sent = json.loads(encode_row({"id": "a", "values": values}))["values"]
    assert np.array(sent, np.float64).astype(np.float32).tobytes() == np.array(values, np.float32).tobytes()


class Tensor:
    """Like those of PyTorch, pandas and PyArrow: ``tolist()`` returns the items."""

    def tolist(self) -> Any:
        return [1.5, np.float32(2.5)]


class Array:
    """Like that of JAX: NumPy's protocol returns the items."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([1.5, 2.5])


class Scalar:
    """Like that of PyArrow."""

    def as_py(self) -> Any:
        return 7


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: Any


ENCODED: list[tuple[Any, Any]] = [
    (GRID, PLAIN),
    (GRID[:, ::2], [row[::2] for row in PLAIN]),
    (GRID[::-1], PLAIN[::-1]),
    (GRID.T, GRID.T.tolist()),
    (np.asfortranarray(GRID), PLAIN),
    (np.broadcast_to(np.float32(0.5), (3,)), [0.5] * 3),
    (GRID.astype(">f4"), PLAIN),
    (GRID.astype(">f8")[0], PLAIN[0]),
    (np.array([0.5, 1], np.float16), [0.5, 1.0]),
    (np.array([0.5, 1], ">f2")[::-1], [1.0, 0.5]),
    (np.array([0.5, 1], np.longdouble), [0.5, 1.0]),
    (np.arange(3, dtype=">i2"), [0, 1, 2]),
    (np.array([2**63], np.uint64), [2**63]),
    (np.array([True, False]), [True, False]),
    (np.array(1.5), 1.5),
    (np.array(7), 7),
    (np.array([]), []),
    (np.array(["a", "b"]), ["a", "b"]),
    (np.array([1, "a", None], object), [1, "a", None]),
    (GRID.view(Subclass), PLAIN),
    (np.float16(0.5), 0.5),
    (np.float32(0.1), 0.1),
    (np.float64(0.1), 0.1),
    (np.longdouble(0.5), 0.5),
    (GRID.astype(">f4")[0, 0], PLAIN[0][0]),
    (np.int64(-3), -3),
    (np.uint8(3), 3),
    (np.bool_(True), True),
    (np.str_("x"), "x"),
    (np.datetime64("2026-01-31"), "2026-01-31T00:00:00"),
    (np.array(["2026-01-31"], "M8[ns]"), ["2026-01-31T00:00:00"]),
    ([np.float32(0.5), {"deep": (np.array([1]), None)}], [0.5, {"deep": [[1], None]}]),
    (Tensor(), [1.5, 2.5]),
    (Array(), [1.5, 2.5]),
    (Scalar(), 7),
    (array.array("d", [0.5]), [0.5]),
    (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
    (datetime(2026, 1, 31, 12, 0, 0, 5), "2026-01-31T12:00:00.000005"),
    (date(2026, 1, 31), "2026-01-31"),
    (time(12, 30), "12:30:00"),
    (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (Decimal("12.50"), 12.5),
    (Color.RED, "red"),
    (Point(np.int8(1)), {"x": 1}),
    ({np.str_("key"): 1}, {"key": 1}),
    (2**70, 2**70),
    ("null", "null"),
    (None, None),
    ((1, 2), [1, 2]),
]


@pytest.mark.parametrize(("value", "expected"), ENCODED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("beside", [1, None, Decimal(1)], ids=["fast", "with null", "slow"])
def test_encode_row_encodes_values_and_metadata_alike(value: Any, expected: Any, beside: Any) -> None:
    text = encode_row({"id": "a", "values": value, "metadata": {"deep": [value]}, "beside": beside})
    assert text.count(b"\n") == 1
    row = json.loads(text)
    for decoded in (row["values"], row["metadata"]["deep"][0]):
        assert decoded == expected or np.array_equal(np.array(decoded, np.float32), np.array(expected, np.float32))
        assert type(decoded) is type(expected)


def test_encode_row_writes_float32_as_its_shortest_text() -> None:
    for values in (np.float32([0.1]), np.float32([0.1]).astype(">f4"), np.float32([0.1, 9])[:1]):
        assert b'"values":[0.1]' in encode_row({"id": "a", "values": values})


NON_FINITE = [
    math.nan,
    math.inf,
    -math.inf,
    np.float16("nan"),
    np.float32("inf"),
    np.float64("nan"),
    np.longdouble("nan"),
    np.array(np.nan),
    Decimal("NaN"),
    Decimal("-Infinity"),
    np.datetime64("NaT"),
]


@pytest.mark.parametrize("value", NON_FINITE, ids=repr)
@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda value: {"values": [1.0, value]}, "values[1]"),
        (lambda value: {"metadata": {"price": value}}, 'metadata["price"]'),
        (lambda value: {"metadata": {"a": {"b c": [None, value]}}}, 'metadata["a"]["b c"][1]'),
        (lambda value: {"metadata": Point(value)}, 'metadata["x"]'),
        (lambda value: {"values": np.array([value, value], object)}, "values[0]"),
    ],
)
def test_encode_row_with_a_non_finite_value_never_writes_null(value: Any, wrap: Any, place: str) -> None:
    row = {"id": "a"} | wrap(value)
    with pytest.raises(EncodingError) as caught:
        encode_row(row)
    assert str(caught.value).startswith(f"{place} is ")
    assert str(caught.value).rpartition(" ")[2] in ("NaN", "infinite")

    text = encode_row(row, keep_nan=True)
    assert non_finite_place(text) == str(caught.value)


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "M8[ns]", "M8[D]"])
def test_encode_row_with_a_non_finite_array_is_refused(dtype: str) -> None:
    values = np.array(["2026-01-31", "NaT"] if dtype.startswith("M") else [1, np.inf], dtype)
    with pytest.raises(EncodingError, match=r"values\[1\] is "):
        encode_row({"id": "a", "values": values})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"x", "is of type bytes"),
        (bytearray(b"x"), "is of type bytearray"),
        (memoryview(b"x"), "is of type memoryview"),
        ({1}, "is of type set"),
        (timedelta(1), "is of type timedelta"),
        (np.timedelta64(1, "D"), "is of type timedelta64"),
        (1j, "is of type complex"),
        (np.array([1j]), "is of type array of complex128"),
        (np.zeros(1, "i4,f4"), "is of type array of"),
        (np.array([b"x"]), "is of type array of |S1"),
        (np.ma.masked_array([1.0, 2.0], [0, 1]), "is a masked array"),
        (np.ma.masked_array([1.0, 2.0], [0, 0]), "is a masked array"),
        (np.ma.masked, "is a masked array"),
        ({1: 2}, "has the key 1"),
        (object(), "is of type object"),
        (Tensor, "is of type type"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_encode_row_with_another_type_is_refused_with_its_place(value: Any, message: str) -> None:
    for keep_nan in (True, False):
        with pytest.raises(EncodingError) as caught:
            encode_row({"id": "a", "metadata": {"k": [value]}}, keep_nan=keep_nan)
        assert f'metadata["k"][0] {message}' in str(caught.value)


def test_encode_row_that_contains_itself_is_refused() -> None:
    metadata: dict[str, Any] = {}
    metadata["deep"] = metadata
    with pytest.raises(EncodingError, match="nested too deeply"):
        encode_row({"id": "a", "metadata": metadata})


def test_non_finite_place_finds_only_words_outside_of_strings() -> None:
    assert non_finite_place(b'{"id": "NaN", "values": [1.0]}') is None
    assert non_finite_place(b'{"id": "NaN", "values": [1.0') is None
    assert non_finite_place(b'{"values": [1, -Infinity]}') == "values[1] is infinite"
    assert non_finite_place(b"NaN") == "it is NaN"
    assert non_finite_place(b"[" * 100_000 + b"NaN") is None


def test_request_bodies_join_lines_in_order_up_to_either_limit() -> None:
    lines = [b"1\n", b"22\n", b"333\n", b"4444444444\n", b"5\n"]
    assert [*request_bodies(lines, 2, 100)] == [(b"1\n22\n", 2), (b"333\n4444444444\n", 2), (b"5\n", 1)]
    assert [*request_bodies(lines, 9, 5)] == [(b"1\n22\n", 2), (b"333\n", 1), (b"4444444444\n", 1), (b"5\n", 1)]
    assert [*request_bodies([], 2, 100)] == [(b"", 0)]
