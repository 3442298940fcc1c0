from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from airflow_provider_vectorize.rows.checks import FullCheck, RowProblem
from airflow_provider_vectorize.rows.mapped_rows import MappedCheck
from airflow_provider_vectorize.sources.fields import parse_fields


def checked(row: Any, fields: dict[str, Any]) -> tuple[str | None, Any]:
    vector_id, text = MappedCheck(FullCheck(2), parse_fields("fields", fields))(json.dumps(row).encode())
    return vector_id, json.loads(text)


OPENAI = {"custom_id": "doc-1", "response": {"body": {"data": [{"embedding": [0.5, 1]}]}}}


@pytest.mark.parametrize(
    ("row", "fields", "vector"),
    [
        (
            OPENAI,
            {"id": "custom_id", "values": "response.body.data.0.embedding"},
            {"id": "doc-1", "values": [0.5, 1]},
        ),
        ({"key": 7, "v": [1, 2]}, {"id": "key", "values": "v"}, {"id": "7", "values": [1, 2]}),
        (
            {"id": "a", "values": [1, 2], "tenant": "t", "meta": {"x": None}},
            {"namespace": "tenant", "metadata": "meta"},
            {"id": "a", "values": [1, 2], "namespace": "t", "metadata": {"x": None}},
        ),
        (
            {"id": "a", "values": [1, 2], "tenant": None},
            {"namespace": "tenant"},
            {"id": "a", "values": [1, 2]},
        ),
        (
            {"id": "a", "values": [1, 2], "title": "T", "doc": {"url": None, "n": 3}},
            {"metadata": ["title", "doc.url", "doc.n"]},
            {"id": "a", "values": [1, 2], "metadata": {"title": "T", "n": 3}},
        ),
        (
            {"id": "a", "values": [1, 2], "doc": {"t": 2**70}},
            {"metadata": {"big": "doc.t"}},
            {"id": "a", "values": [1, 2], "metadata": {"big": 2**70}},
        ),
        (
            {"id": "a", "doc.v": [1, 2], "doc.meta": {"a": {"b": 5}}, "doc": {"x": 1}},
            {"values": "doc.v", "metadata": {"n": "doc.meta.a.b", "x": "doc.x"}},
            {"id": "a", "values": [1, 2], "metadata": {"n": 5, "x": 1}},
        ),
        (
            {"id": "a", "values": [1, 2], "unmapped": "x", "metadata": {"y": 1}},
            {},
            {"id": "a", "values": [1, 2]},
        ),
    ],
)
def test_mapped_row_becomes_a_vector(row: Any, fields: dict[str, Any], vector: Any) -> None:
    assert checked(row, fields) == (vector["id"], vector)


@pytest.mark.parametrize(
    ("row", "fields", "reason"),
    [
        ({"values": [1, 2]}, {"id": "custom_id"}, "no field custom_id, which `fields` maps to the id"),
        (
            {"id": "a", "response": {"body": {}}},
            {"values": "response.body.data.0.embedding"},
            r"no field response.body.data \(of response.body.data.0.embedding\), which `fields` maps to the values",
        ),
        (
            {"id": "a", "data": []},
            {"values": "data.0.embedding"},
            r"no field data.0 \(of data.0.embedding\)",
        ),
        (
            {"id": "a", "values": [1, 2]},
            {"metadata": ["title"]},
            "no field title, which `fields` maps to the metadata key",
        ),
        ({"id": "a", "values": [1, 2, 3]}, {}, "3 values, but the index has 2 dimensions"),
        ("text", {}, "no field id"),
    ],
)
def test_mapped_row_without_a_field_names_its_path(row: Any, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowProblem, match=reason):
        checked(row, fields)


@pytest.mark.parametrize(("row", "fields"), [({"id": True, "values": [1, 2]}, {}), ({"id": "a", "values": "x"}, {})])
def test_mapped_row_with_another_type_is_no_vector(row: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.DecodeError):
        checked(row, fields)


def test_mapped_line_that_is_not_json_is_no_vector() -> None:
    with pytest.raises(msgspec.DecodeError):
        MappedCheck(FullCheck(2), parse_fields("fields", {}))(b"{")
