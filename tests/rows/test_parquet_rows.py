"""Rows of Parquet objects, compared with a reference that reads them row by row as Python values."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import json
import math
import string
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.rows.mapped_rows import map_row
from airflow_provider_vectorize.rows.parquet_columns import find_columns
from airflow_provider_vectorize.rows.parquet_rows import ParquetRows
from airflow_provider_vectorize.sources.fields import parse_fields
from airflow_provider_vectorize.sources.parquet import ParquetReader

URI = "s3://bucket/vectors.parquet"


def stored(table: pa.Table, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    file.seek(0)
    return file


def read(file: io.BytesIO, fields: dict[str, Any] | None = None, dimensions: int = 2, start: int = 0) -> list[Rows]:
    reader = ParquetReader(file, URI)
    rows = ParquetRows(find_columns(reader.schema, parse_fields("fields", fields), URI), dimensions, LIMITS)
    return [pending.finish() for decoded in reader.read(rows.columns, start) for pending in rows.check(decoded, 0)]


def vectors(parts: list[Rows]) -> list[dict[str, Any]]:
    return [json.loads(line) for rows in parts for line in rows.body.splitlines()]


def problems(parts: list[Rows]) -> list[tuple[int, int, str]]:
    return [(bad.position.line, bad.position.offset, bad.reason) for rows in parts for bad in rows.bad]


def table(rows: int = 3, **columns: Any) -> pa.Table:
    usual = {"id": [f"v{n}" for n in range(rows)], "values": pa.array([[n + 0.5, 1.0] for n in range(rows)])}
    return pa.table(usual | columns)


_USUAL = {"id": "a", "namespace": "n", "metadata": {"text": "t", "score": 1.5}}
_METADATA = pa.struct([("text", pa.string()), ("score", pa.float64())])


@pytest.mark.parametrize(
    "unusual",
    [
        pytest.param({"metadata": {"text": None, "score": 1.0}}, id="a field without a value"),
        pytest.param({"metadata": {"text": "t", "score": float("nan")}}, id="a NaN"),
        pytest.param({"metadata": {"text": "t", "score": float("-inf")}}, id="an infinity"),
        pytest.param({"metadata": {"text": "null", "score": 1.0}}, id="text that says null"),
        pytest.param({"metadata": {"text": "x" * 10_300, "score": 1.0}}, id="large metadata"),
        pytest.param({"metadata": {"text": "line\r\n\u2028 end", "score": 1.0}}, id="line ends in text"),
        pytest.param({"metadata": None}, id="no metadata"),
        pytest.param({"namespace": None}, id="no namespace"),
        pytest.param({"namespace": "new"}, id="another namespace"),
        pytest.param({"namespace": "x" * 65}, id="a long namespace"),
        pytest.param({"id": None}, id="no id"),
        pytest.param({"id": ""}, id="an empty id"),
        pytest.param({"id": "x" * 65}, id="a long id"),
        pytest.param({"id": "\u00e9" * 33}, id="an id of more bytes than characters"),
    ],
)
def test_row_after_usual_ones_has_the_same_outcome_as_alone(unusual: dict[str, Any]) -> None:
    def rows(*changes: dict[str, Any]) -> pa.Table:
        found = [_USUAL | change for change in changes]
        columns = {"id": pa.array([row["id"] for row in found], pa.string())}
        columns["namespace"] = pa.array([row["namespace"] for row in found], pa.string())
        columns["metadata"] = pa.array([row["metadata"] for row in found], _METADATA)
        return table(len(found), **columns)

    alone, usual = rows({}, unusual), rows({}, {})
    after = read(stored(pa.concat_tables([usual, usual, alone]), row_group_size=2))
    assert vectors(after)[4:] == vectors(read(stored(alone)))
    assert [reason for _, _, reason in problems(after)] == [reason for _, _, reason in problems(read(stored(alone)))]


# ---------------------------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.list_(pa.float64()),
        pa.large_list(pa.float32()),
        pa.list_(pa.float32(), 2),
        pa.list_(pa.float64(), 2),
        pa.list_(pa.float16(), 2),
        pa.list_(pa.float16()),
    ],
    ids=str,
)
def test_values_of_each_list_type_become_the_same_vector(kind: pa.DataType) -> None:
    numbers: Any = [[np.float16(0.5), np.float16(1)], [np.float16(-2), np.float16(0.25)]]
    parts = read(stored(pa.table({"id": ["a", "b"], "values": pa.array(numbers, kind)})))
    assert vectors(parts) == [{"id": "a", "values": [0.5, 1.0]}, {"id": "b", "values": [-2.0, 0.25]}]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array(["x", "y"]), ["x", "y"]),
        (pa.array(["x", "y"], pa.large_string()), ["x", "y"]),
        (pa.array(["x", "y"]).dictionary_encode(), ["x", "y"]),
        (pa.array([7, 2**62]), ["7", str(2**62)]),
        (pa.array([-1, 0], pa.int8()), ["-1", "0"]),
    ],
)
def test_ids_of_text_and_whole_numbers_become_text(ids: pa.Array, expected: list[str]) -> None:
    parts = read(stored(table(2, id=ids)))
    assert [vector["id"] for vector in vectors(parts)] == expected == [i for rows in parts for i in rows.ids]


METADATA = [
    (pa.array([{"a": 1, "b": None}], pa.struct([("a", pa.int64()), ("b", pa.string())])), {"a": 1}),
    (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), {"a": 1}),
    (pa.array(['{"a": [1, null]}']), {"a": [1, None]}),
    (pa.array([{"a": {"b": [1.5]}}]), {"a": {"b": [1.5]}}),
    (pa.array([{"when": dt.datetime(2026, 1, 2, 3, 4, 5)}]), {"when": "2026-01-02T03:04:05"}),
    (
        pa.array([{"when": 1_500_000_000_123_456_789}], pa.struct([("when", pa.timestamp("ns", "UTC"))])),
        {"when": "2017-07-14T02:40:00.123456+00:00"},
    ),
    (pa.array([{"day": dt.date(2026, 1, 2)}]), {"day": "2026-01-02"}),
    (pa.array([{"price": decimal.Decimal("1.10")}]), {"price": 1.1}),
    (pa.array([{"tags": ["x", "y"]}]), {"tags": ["x", "y"]}),
    (pa.array([{"on": True}]), {"on": True}),
]


@pytest.mark.parametrize(("column", "metadata"), METADATA)
def test_metadata_of_each_type_becomes_json(column: pa.Array, metadata: Any) -> None:
    (vector,) = vectors(read(stored(table(1, metadata=column))))
    assert vector["metadata"] == metadata


def test_metadata_and_namespace_that_are_null_are_left_out() -> None:
    parts = read(stored(table(2, metadata=pa.array([None, '{"a": 1}']), namespace=pa.array([None, "n"]))))
    assert vectors(parts) == [
        {"id": "v0", "values": [0.5, 1.0]},
        {"id": "v1", "values": [1.5, 1.0], "namespace": "n", "metadata": {"a": 1}},
    ]


def test_fields_map_nested_columns_names_with_dots_and_list_elements() -> None:
    data = pa.table({
        "doc.key": ["a"],
        "response": pa.array([{"data": [{"embedding": [1.0, 2.0]}]}]),
        "title": ["T"],
        "page": pa.array([{"url": "u", "n": None}], pa.struct([("url", pa.string()), ("n", pa.int64())])),
    })
    fields = {
        "id": "doc.key",
        "values": "response.data.0.embedding",
        "metadata": {"title": "title", "link": "page.url", "n": "page.n"},
    }
    assert vectors(read(stored(data), fields)) == [
        {"id": "a", "values": [1.0, 2.0], "metadata": {"title": "T", "link": "u"}}
    ]


# ---------------------------------------------------------------------------------------------- bad rows


def values_of(*rows: Any) -> pa.Array:
    return pa.array(rows, pa.list_(pa.float64()))


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"id": pa.array([None], pa.string())}, "the id is null"),
        ({"id": pa.array(["x" * 65])}, "the id has 65 bytes"),
        ({"values": values_of(None)}, "the values are null"),
        ({"values": values_of([])}, "0 values, but the index has 2 dimensions"),
        ({"values": values_of([1.0])}, "1 values, but the index has 2 dimensions"),
        ({"values": values_of([1.0, None])}, "values[1] is null"),
        ({"values": values_of([math.nan, 1.0])}, "values[0] is NaN"),
        ({"values": values_of([1.0, -math.inf])}, "values[1] is infinite"),
        ({"values": values_of([1.0, 1e39])}, "a value is beyond the range of float32"),
        ({"namespace": pa.array(["n" * 65])}, "the namespace has 65 bytes"),
        ({"metadata": pa.array(["[1]"])}, "the metadata is not a JSON object"),
        ({"metadata": pa.array([{"a": b"x"}])}, "a is of type bytes, which JSON does not support"),
        ({"metadata": pa.array([{"a": math.nan}])}, "a is NaN"),
        ({"metadata": pa.array([{"a": "x" * 11_000}])}, "the metadata has 11008 bytes of compact JSON"),
    ],
)
def test_bad_row_is_named_with_its_row_group_and_reason(columns: dict[str, Any], reason: str) -> None:
    good = table(1, id=["first"])
    bad = table(1, **columns)
    for name in bad.column_names:
        if name not in good.column_names:
            good = good.append_column(name, pa.nulls(1, bad.schema.field(name).type))
    good = good.cast(bad.schema, safe=False) if good.schema != bad.schema else good
    parts = read(stored(pa.concat_tables([good, bad, good]), row_group_size=1))
    ((row, group, found),) = problems(parts)
    assert (row, group) == (2, 1)
    assert reason in found
    assert [vector["id"] for vector in vectors(parts)] == ["first", "first"]


@pytest.mark.parametrize("metadata", [pa.array([{"a": 1}]), pa.array(['{"a": 1}'])])
def test_bad_row_is_kept_as_a_row_of_ndjson(metadata: pa.Array) -> None:
    parts = read(stored(table(1, values=values_of([1.0]), metadata=metadata)))
    assert [json.loads(bad.text) for rows in parts for bad in rows.bad] == [
        {"id": "v0", "values": [1.0], "metadata": {"a": 1}}
    ]


@pytest.mark.parametrize(
    "keys", [pa.array([1]), pa.array([dt.date(2026, 1, 2)]), pa.array([b"k"]), pa.array([{"a": 1}])], ids=str
)
def test_bad_row_with_keys_that_json_does_not_have_is_kept_as_a_row_that_is_refused(keys: pa.Array) -> None:
    maps = pa.MapArray.from_arrays([0, 1], keys, pa.array(["a"]))
    parts = read(stored(table(1, metadata=pa.StructArray.from_arrays([maps], ["field"]))))
    ((kept,),) = [[json.loads(bad.text) for bad in rows.bad] for rows in parts]
    assert list(kept["metadata"]["field"]) == ["$unreadable"]


# ---------------------------------------------------------------------------------------------- bad objects


def damaged(data: bytes, at: int, size: int = 64) -> bytes:
    return data[:at] + bytes(byte ^ 0xFF for byte in data[at : at + size]) + data[at + size :]


WHOLE = stored(table(2_000, id=[f"{n:040}" for n in range(2_000)]), compression="none").getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "too short to be a Parquet file"),
        (b'{"id": "a", "values": [1, 2]}\n' * 10, "does not end as a Parquet file does"),
        (WHOLE[:-1_000], "does not end as a Parquet file does"),
        (damaged(WHOLE, len(WHOLE) - 300), "damaged"),
        (damaged(WHOLE, 4), "damaged"),
    ],
)
def test_object_that_is_no_whole_parquet_file_says_so_in_one_sentence(data: bytes, reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as raised:
        read(io.BytesIO(data))
    assert URI in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not raised.value.permanent, "the object may still be written"


def test_page_that_does_not_have_its_checksum_is_damaged() -> None:
    # One changed byte gives another number, which is as good as any, so only the checksum shows the damage.
    whole = stored(table(3, values=values_of([1.0, 2.0]).take([0, 0, 0])), compression="none", write_page_checksum=True)
    data = whole.getvalue()
    with pytest.raises(SourceError, match=r"damaged \(could not verify page integrity"):
        read(io.BytesIO(damaged(data, data.index(np.float64(2).tobytes()), 1)))


@pytest.mark.parametrize(
    ("columns", "fields", "reason"),
    [
        ({"vec": pa.array([[1.0]])}, {"values": "embedding"}, r"has no column embedding \(its columns are id, values"),
        ({"values": pa.array(["x"])}, None, "values of s3.* cannot be the values: it is string, not lists of numbers"),
        ({"values": pa.array([[["x"]]])}, None, "cannot be the values"),
        (
            {"id": pa.array([1.5])},
            None,
            "cannot be the id: it is double, not text, whole numbers or UUIDs. Convert it, or name",
        ),
        ({"namespace": pa.array([3])}, None, "cannot be the namespace"),
        ({"metadata": pa.array([3])}, None, "cannot be the metadata: it is int64, not a struct, a map or JSON text"),
        ({"a": pa.array([{"b": 1}])}, {"id": "a.c"}, r"column a of s3.* has no field c \(of a.c\)"),
    ],
)
def test_column_that_is_missing_or_of_another_type_says_so(
    columns: dict[str, Any], fields: dict[str, Any] | None, reason: str
) -> None:
    with pytest.raises(SourceError, match=reason):
        read(stored(table(1, **columns)), fields)


def test_object_without_columns_says_so() -> None:
    with pytest.raises(SourceError, match="has no columns: write it again"):
        read(stored(pa.table({})))


def test_two_fields_of_a_struct_with_one_name_are_refused() -> None:
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    with pytest.raises(SourceError, match=r"The column m of s3.* has 2 fields with the name a \(of m.a\)"):
        read(stored(table(1, m=twice)), {"metadata": ["m.a"]})


@pytest.mark.parametrize(
    "row",
    [
        {"doc": {"title": "field"}, "doc.title": "name"},
        {"doc": {"other": "field"}, "doc.title": "name"},
        {"doc": "text", "doc.title": "name"},
        {"doc.title": "name"},
        {"doc": {"title": "field"}},
    ],
    ids=json.dumps,
)
def test_path_means_the_same_in_parquet_as_in_ndjson(row: dict[str, Any]) -> None:
    row = {"id": "a", "values": [1.0, 2.0]} | row
    fields = {"metadata": {"title": "doc.title"}}
    assert vectors(read(stored(pa.Table.from_pylist([row])), fields)) == [
        json.loads(map_row(json.dumps(row).encode(), parse_fields("fields", fields)))
    ]


def test_two_columns_with_the_name_of_a_field_are_refused() -> None:
    data = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array([[1.0, 2.0]])], ["id", "id", "values"])
    with pytest.raises(SourceError, match="has 2 columns with the name id: rename one"):
        read(stored(data))


# ---------------------------------------------------------------------------------------------- property

NUMBERS = st.floats(width=32, allow_nan=True, allow_infinity=True) | st.none()
TEXTS = st.text(string.ascii_letters + 'é"\\\n', max_size=8)
PLAIN = {"a": st.none() | TEXTS, "b": st.none() | st.integers(-(2**53), 2**53), "c": st.none() | st.booleans()}
ROWS = st.fixed_dictionaries({
    "id": st.none() | st.text(string.ascii_letters + "é", max_size=70),
    "values": st.none() | st.lists(NUMBERS, min_size=2, max_size=2) | st.lists(NUMBERS, max_size=3),
    "namespace": st.none() | TEXTS,
    "metadata": st.none() | st.fixed_dictionaries(PLAIN),
})
SCHEMA_KEYS = ("id", "values", "namespace", "metadata")
SCHEMA = {
    "id": pa.string(),
    "namespace": pa.string(),
    "metadata": pa.struct([("a", pa.string()), ("b", pa.int64()), ("c", pa.bool_())]),
}


def reference(row: dict[str, Any]) -> dict[str, Any] | None:
    """Return the vector that a row describes, or ``None`` for a bad row."""
    values = row["values"]
    if row["id"] is None or len(row["id"].encode()) > 64 or values is None or len(values) != 2:
        return None
    if any(value is None or not math.isfinite(value) for value in values):
        return None
    vector = {"id": row["id"], "values": values}
    if row["namespace"] is not None:
        vector["namespace"] = row["namespace"]
    if row["metadata"] is not None:
        vector["metadata"] = {key: value for key, value in row["metadata"].items() if value is not None}
    return vector


def as_float32(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [vector | {"values": np.array(vector["values"], np.float32).tolist()} for vector in found]


@given(
    st.lists(ROWS, max_size=12),
    st.integers(1, 5),
    st.sampled_from([pa.list_(pa.float32()), pa.list_(pa.float64()), pa.large_list(pa.float32())]),
    st.integers(0, 12),
)
@settings(deadline=None)
def test_any_rows_are_read_as_the_reference_reads_them(
    rows: list[dict[str, Any]], group: int, kind: pa.DataType, start: int
) -> None:
    columns = {key: pa.array([row[key] for row in rows], SCHEMA.get(key, kind)) for key in SCHEMA_KEYS}
    parts = read(stored(pa.table(columns), row_group_size=group), start=start)
    expected = [reference(row) for row in rows]
    assert as_float32(vectors(parts)) == [vector for vector in expected[start:] if vector]
    assert [place[:2] for place in problems(parts)] == [
        (number + 1, number // group) for number, vector in enumerate(expected) if not vector and number >= start
    ]
    assert [line for part in parts for line in part.lines] == [
        number + 1 for number, vector in enumerate(expected) if vector and number >= start
    ]
