"""Test the receipt that travels by XCom, and the digests by which its samples are recognized."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.receipt import DEPTH, Receipt, Sample, digest

RECEIPT = Receipt(
    "insert", "books", "m", ("l", "m"), 3, 2, 100, 1, "2026-11-22T12:00:00+00:00", (Sample("a", "d"),), False
)


def test_receipt_survives_json() -> None:
    plain = RECEIPT.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert Receipt.from_dict(plain) == RECEIPT
    assert Receipt.from_dict({**plain, "added later": 1}) == RECEIPT


@pytest.mark.parametrize(
    "plain", [{}, {"operation": "insert"}, {**RECEIPT.to_dict(), "samples": [1]}, {"samples": [{}]}]
)
def test_receipt_from_other_value_fails(plain: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="not a receipt"):
        Receipt.from_dict(plain)


METADATA = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
VALUES = st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(VALUES, METADATA)
def test_digest_survives_float32_and_json(values: list[float], metadata: dict[str, Any]) -> None:
    stored = np.array(values, np.float32).astype(float).tolist()
    spelled = json.loads(json.dumps(dict(reversed(metadata.items()))))
    assert digest(values, metadata) == digest(stored, spelled)
    assert digest(values, {**metadata, "key": None}) == digest(values, metadata)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.integers(0, 3))
def test_digest_differs_for_other_vector(values: list[float], at: int) -> None:
    other = np.array(values, np.float32)
    at %= len(other)
    other[at] = np.nextafter(other[at], np.float32(np.inf))
    if other[at] != values[at] and float(other[at]) + 0.0 != float(np.float32(values[at])) + 0.0:
        assert digest(other.tolist(), None) != digest(values, None)
    assert digest(values, {"k": 1}) != digest(values, {"k": 2})
    assert digest(values, {"k": True}) != digest(values, {"k": 1})


def test_digest_ignores_sign_of_zero() -> None:
    assert digest([0.0, 1.0], {}) == digest([-0.0, 1.0], None) == digest([0, 1], None)


def nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth):
        value = {"k": value}
    return value  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("values", "metadata"), [([1.0], nested(DEPTH + 1)), ([1.0], nested(5_000)), ([1.0], {"k": 10**400}), ([1e39], {})]
)
def test_digest_of_incomparable_vector_is_none(values: list[float], metadata: dict[str, Any]) -> None:
    assert digest(values, metadata) is None


def test_digest_of_deepest_allowed_metadata_exists() -> None:
    assert digest([1.0], nested(DEPTH)) is not None
