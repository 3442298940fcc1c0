"""Types of Parquet that Python's own types cannot hold, or that wrap other types."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.rows.encoding import UnreadableValue
from airflow_provider_vectorize.rows.parquet_values import python_values
from airflow_provider_vectorize.sources.parquet import readable
from tests.rows.test_parquet_rows import problems, read, stored, table, vectors

NANOSECONDS = 1_500_000_000_123_456_789
TIME = "2017-07-14T02:40:00.123456"


def test_error_of_an_older_pyarrow_says_what_to_update() -> None:
    with (
        pytest.raises(
            SourceError, match=r"as Parquet: it has a null in a column of fixed-size lists, .*: update it\.$"
        ),
        readable("s3://bucket/a.parquet"),
    ):
        raise pa.ArrowInvalid("Expected all lists to be of size=2 but index 1 had size=0")


def column(kind: pa.DataType, *values: Any) -> pa.Array:
    return pa.array(values, kind)


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        (column(pa.map_(pa.string(), pa.timestamp("ns")), [("at", NANOSECONDS)]), {"at": TIME}),
        (column(pa.list_(pa.timestamp("ns"), 1), [NANOSECONDS]), [TIME]),
        (column(pa.list_(pa.struct([("at", pa.timestamp("ns"))])), [{"at": NANOSECONDS}]), [{"at": TIME}]),
    ],
    ids=str,
)
def test_nanoseconds_inside_other_types_become_microseconds(meta: pa.Array, expected: Any) -> None:
    (vector,) = vectors(read(stored(table(1, meta=meta)), {"metadata": ["meta"]}))
    assert vector["metadata"] == {"meta": expected}


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        (
            column(pa.timestamp("s"), 0, 400_000_000_000),
            "the metadata key meta cannot be read: date value out of range",
        ),
        (column(pa.date32(), 0, 2**31 - 1), "the metadata key meta cannot be read: days=2147483647"),
        (column(pa.duration("ns"), None, NANOSECONDS), "meta is of type timedelta, which JSON does not support"),
        (
            column(pa.binary(), None, b"\xff").cast(pa.string(), safe=False),
            "cannot be read: 'utf-8' codec can't decode",
        ),
        (
            column(pa.struct([("at", pa.timestamp("s"))]), {"at": 0}, {"at": 400_000_000_000}),
            'meta["at"] is not readable: date value out of range',
        ),
    ],
    ids=["year", "day", "duration", "text", "year in a struct"],
)
def test_value_that_python_cannot_hold_makes_only_its_row_bad(meta: pa.Array, reason: str) -> None:
    parts = read(stored(table(2, meta=meta)), {"metadata": ["meta"]})
    assert [vector["id"] for vector in vectors(parts)] == ["v0"]
    ((row, _, found),) = problems(parts)
    assert row == 2
    assert reason in found


def test_struct_with_two_fields_of_one_name_is_unreadable_and_not_halved() -> None:
    structs = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    (value,) = python_values(structs)
    assert isinstance(value, UnreadableValue)
    assert "duplicate field names" in value.reason


def test_unknown_time_zone_makes_the_row_bad() -> None:
    parts = read(stored(table(1, meta=column(pa.timestamp("us", "Nowhere/X"), 0))), {"metadata": ["meta"]})
    assert problems(parts) == [(1, 0, "the metadata key meta cannot be read: the time zone 'Nowhere/X' is unknown")]


@pytest.mark.parametrize("name", ["id", "namespace"])
def test_id_or_namespace_that_is_not_utf8_makes_the_row_bad(name: str) -> None:
    text = column(pa.binary(), b"fine", b"\xff").cast(pa.string(), safe=False)
    parts = read(stored(table(2, **{name: text})))
    assert len(vectors(parts)) == 1
    assert f"the {name} cannot be read: 'utf-8' codec can't decode" in problems(parts)[0][2]


def test_dead_letter_of_a_value_that_json_lacks_is_not_good_json_for_vectorize() -> None:
    """A dead letter that is loaded without a correction must be refused again, not stored as text."""
    data = table(1, a=column(pa.binary(), b"x"), b=column(pa.date32(), 1))
    ((bad,),) = (rows.bad for rows in read(stored(data), {"metadata": ["a", "b"]}))
    assert json.loads(bad.text)["metadata"] == {"a": {"$unreadable": "b'x'"}, "b": "1970-01-02"}


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (column(pa.uuid(), uuid.UUID(int=5).bytes), "00000000-0000-0000-0000-000000000005"),
        (column(pa.decimal128(38, 0), Decimal(10**20)), "100000000000000000000"),
        (column(pa.json_(), '"x"'), '"x"'),
    ],
    ids=str,
)
def test_ids_of_uuids_and_whole_decimals_become_text(ids: pa.Array, expected: str) -> None:
    assert [vector["id"] for vector in vectors(read(stored(table(1, id=ids))))] == [expected]


@pytest.mark.parametrize("kind", [pa.json_(), pa.json_(pa.large_string())], ids=str)
def test_metadata_of_the_logical_type_json_becomes_an_object(kind: pa.DataType) -> None:
    (vector,) = vectors(read(stored(table(1, metadata=column(kind, '{"a": 1}')))))
    assert vector["metadata"] == {"a": 1}


def test_values_of_a_tensor_of_one_dimension_become_numbers() -> None:
    kind = pa.fixed_shape_tensor(pa.float32(), (2,))
    values = pa.ExtensionArray.from_storage(kind, pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)))
    assert vectors(read(stored(table(1, values=values)))) == [{"id": "v0", "values": [1.0, 2.0]}]


ITEM = pa.struct([("embedding", pa.list_(pa.float32())), ("at", pa.timestamp("ns"))])


@pytest.mark.parametrize(
    "kind", [pa.list_(ITEM), pa.large_list(ITEM), pa.list_(ITEM, 1)], ids=["list", "large", "fixed"]
)
@pytest.mark.parametrize("start", [0, 2])
def test_list_elements_are_taken_from_every_list_type_and_from_any_row_on(kind: pa.DataType, start: int) -> None:
    items = [[{"embedding": [n, 1.0], "at": NANOSECONDS}] for n in range(4)]
    data = table(4, data=pa.array(items, kind)).drop_columns("values")
    parts = read(stored(data), {"values": "data.0.embedding"}, start=start)
    assert [vector["values"] for vector in vectors(parts)] == [[n, 1.0] for n in range(start, 4)]


def test_list_without_the_element_makes_the_row_bad() -> None:
    items: list[Any] = [[[0.5, 1.0]], [], None]
    data = table(3, data=pa.array(items, pa.list_(pa.list_(pa.float32())))).drop_columns("values")
    parts = read(stored(data), {"values": "data.0"})
    assert vectors(parts) == [{"id": "v0", "values": [0.5, 1.0]}]
    assert problems(parts) == [(2, 0, "the values are null"), (3, 0, "the values are null")]


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint16()], ids=str)
def test_values_of_whole_numbers_become_numbers(kind: pa.DataType) -> None:
    assert vectors(read(stored(table(1, values=pa.array([[1, 2]], pa.list_(kind)))))) == [
        {"id": "v0", "values": [1, 2]}
    ]


def test_metadata_key_that_was_null_in_earlier_rows_is_still_checked() -> None:
    kind = pa.struct([("good", pa.int64()), ("a.b", pa.int64())])
    metadata = pa.array([{"good": 1, "a.b": None}, {"good": 1, "a.b": 2}], kind)
    parts = read(stored(table(2, metadata=metadata)))
    assert [vector["id"] for vector in vectors(parts)] == ["v0"]
    assert "the metadata key 'a.b' is invalid" in problems(parts)[0][2]
