"""docs/source-formats.md says what becomes of each type of Parquet."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.sources.formats import _NDJSON_SUFFIXES
from tests.rows.test_parquet_rows import problems, read, stored, table, vectors

PAGE = (Path(__file__).parents[2] / "docs/source-formats.md").read_text()
DAY, TIME = dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, 3, 4, 5)
UUID = uuid.UUID(int=0x65).bytes
TEXTS = (pa.string(), pa.large_string(), pa.string_view())
INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
REFUSED, LEFT_OUT = "refused", "left out"


def of(value: Any, *kinds: pa.DataType | None) -> list[pa.Array]:
    """Return a column with one row for each type."""
    return [pa.array([value], kind) for kind in kinds or (None,)]


def lists(values: Any, *kinds: pa.DataType) -> list[pa.Array]:
    """Return a column of each type of list for each type of its elements."""
    return [
        pa.array([values], kind)
        for of_kind in kinds
        for kind in (pa.list_(of_kind), pa.large_list(of_kind), pa.list_(of_kind, len(values)))
    ]


def category(text: str) -> pa.Array:
    return pa.array([text]).dictionary_encode()


TENSOR = pa.ExtensionArray.from_storage(
    pa.fixed_shape_tensor(pa.float32(), (2,)), pa.array([[0.1, 2]], pa.list_(pa.float32(), 2))
)
TEXT_KEYS = pa.map_(pa.string(), pa.int64())
KEYS: list[tuple[Any, pa.DataType]] = [
    (1, pa.int64()),
    (True, pa.bool_()),
    (1.5, pa.float64()),
    (DAY, pa.date32()),
    (TIME, pa.timestamp("ns")),
    (b"k", pa.binary()),
    (Decimal(1), pa.decimal128(3, 0)),
    ([1], pa.list_(pa.int64())),
    ({"a": 1}, pa.struct([("a", pa.int64())])),
]
OTHER_KEYS = [pa.array([[(key, "a")]], pa.map_(kind, pa.string())) for key, kind in KEYS]
STRUCT = pa.struct([("a", pa.int64()), ("b", pa.string())])
HALVES: Any = [np.float16(0.5), np.float16(2)]

#: Columns for the first cell of each row of each table.
COLUMNS: dict[str, dict[str, list[pa.Array]]] = {
    "ID": {
        "text, large text, text view": of("doc-1", *TEXTS),
        "dictionary of text (categories)": [category("doc-1")],
        "integers, signed and unsigned": of(101, *INTEGERS),
        "decimals without digits after the point": of(Decimal(101), pa.decimal128(38, 0), pa.decimal256(50, 0)),
        "UUID": of(UUID, pa.uuid()),
        "null": [*of(None, pa.string(), pa.int64()), pa.nulls(1)],
        "floats": of(101.0, pa.float32(), pa.float64()),
        "binary": of(b"doc-1", pa.binary()),
        "dates and times": [*of(DAY), *of(TIME)],
    },
    "Values": {
        "list, large list or fixed-size list of float32": lists([0.1, 2], pa.float32()),
        "the same of float64": lists([0.1, 2], pa.float64()),
        "the same of float16": lists(HALVES, pa.float16()),
        "the same of integers": lists([1, 2], *INTEGERS),
        "fixed-shape tensor with one dimension": [TENSOR],
        "a list with a null": lists([0.1, None], pa.float32(), pa.float64()),
        "a list with NaN or infinity": lists([0.1, math.nan], pa.float32(), pa.float64()),
        "a list of another length": lists([0.1], pa.float32()),
        "null": [*of(None, pa.list_(pa.float32()), pa.list_(pa.float32(), 2)), pa.nulls(1)],
        "list of decimals, text or booleans": [*of([Decimal("0.1")] * 2), *of(["0.1", "2"]), *of([True, False])],
        "list of lists": of([[0.1, 2]]),
        "text or binary": [*of("[0.1, 2]"), *of(b"12345678")],
        "struct": of({"a": 0.1, "b": 2}),
    },
    "Namespace": {
        "text, large text, text view": of("acme", *TEXTS),
        "dictionary of text (categories)": [category("acme")],
        "null": [*of(None, pa.string()), pa.nulls(1)],
        "integers": of(7, pa.int64()),
    },
    "Metadata as a whole": {
        "struct": of({"a": 1, "b": None}, STRUCT),
        "map with text as keys": of([("a", 1)], TEXT_KEYS),
        "JSON text, also as a dictionary or with the logical type JSON": [
            *of('{"a": null}', pa.string(), pa.large_string(), pa.json_()),
            category('{"a": null}'),
        ],
        "null": [*of(None, pa.string(), STRUCT, TEXT_KEYS), pa.nulls(1)],
        "text that is not JSON": of("a=1"),
        "JSON text that is not an object": of("[1]"),
        "map with other keys": OTHER_KEYS,
        "anything else": [*of(7), *of([1]), *of(True), *of(TIME), *of(b"{}")],
    },
    "Fields of the metadata": {
        "text, categories": [*of("Tasks", *TEXTS), category("Tasks")],
        "boolean": of(True),
        "integers": of(7, *INTEGERS),
        "float64": of(0.1, pa.float64()),
        "float32, float16": of(0.1, pa.float32()),
        "NaN or infinity": of(math.nan, pa.float64()),
        "decimal": of(Decimal("1.10")),
        "date": of(DAY, pa.date32(), pa.date64()),
        "timestamp without a time zone, INT96": of(TIME, pa.timestamp("s"), pa.timestamp("us")),
        "timestamp in UTC": of(TIME, pa.timestamp("us", "UTC")),
        "timestamp in nanoseconds": of(1_767_323_045_123_456_789, pa.timestamp("ns")),
        "timestamp before the year 1 or after 9999": of(400_000_000_000_000, pa.timestamp("ms"))
        + of(-(10**18), pa.timestamp("us")),
        "time of day": of(dt.time(3, 4, 5), pa.time32("s"), pa.time64("us")) + of(11_045 * 10**9, pa.time64("ns")),
        "duration": of(5, pa.duration("s"), pa.duration("ns")),
        "binary": of(b"x", pa.binary(), pa.large_binary()),
        "UUID": of(UUID, pa.uuid()),
        "null": [*of(None, pa.string(), STRUCT), pa.nulls(1)],
        "list": of(["a", None]),
        "struct": of({"a": 1, "b": None}, STRUCT),
        "map with text as keys": of([("a", 1)], TEXT_KEYS),
        "map with other keys": OTHER_KEYS,
        "JSON text, also with the logical type JSON": of('{"a": 1}', pa.string(), pa.json_()),
    },
}
NAMES = {"ID": "id", "Values": "values", "Namespace": "namespace", "Metadata as a whole": "metadata"}


def documented(heading: str) -> dict[str, str]:
    """Return the outcome of each type in a table of the page."""
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n### ")[0]
    rows = [line.strip("|").split("|") for line in section.split("\n") if line.startswith("| ")]
    return {row[0].strip(): row[-1].strip() for row in rows[1:]}


def outcome(heading: str, column: pa.Array) -> str:
    """Return what a load makes of a column, as the page writes it."""
    name = NAMES.get(heading, "field")
    fields = None if heading in NAMES else {"metadata": ["field"]}
    try:
        parts = read(stored(table(1, **{name: column})), fields)
    except SourceError as error:
        named = f"The column {name} of" in str(error) and str(column.type).partition("<")[0] in str(error)
        return REFUSED if named else str(error)
    if bad := problems(parts):
        return bad[0][2]
    (vector,) = vectors(parts)
    if heading in NAMES:
        return f"`{json.dumps(vector[name])}`" if name in vector else "none"
    return f"`{json.dumps(vector['metadata']['field'])}`" if vector["metadata"] else LEFT_OUT


@pytest.mark.parametrize("heading", COLUMNS)
def test_page_lists_every_type_that_is_tested(heading: str) -> None:
    assert list(documented(heading)) == list(COLUMNS[heading])


@pytest.mark.parametrize(("heading", "kind"), [(heading, kind) for heading in COLUMNS for kind in COLUMNS[heading]])
def test_columns_of_a_type_become_what_the_page_says(heading: str, kind: str) -> None:
    expected = documented(heading)[kind]
    for column in COLUMNS[heading][kind]:
        found = outcome(heading, column)
        if expected.startswith('"'):
            assert expected.strip('"') in found, column.type
        else:
            assert found == expected, column.type


def test_page_lists_the_suffixes_of_ndjson() -> None:
    (row,) = re.findall(r"^\| `auto` \(default\) \| (.*) \|$", PAGE, re.MULTILINE)
    assert re.findall(r"`(\.\w+)`", row) == [".parquet", *_NDJSON_SUFFIXES]
