from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.sources.fields import DEFAULT_FIELDS, Fields, parse_fields


def test_parse_fields_of_none_returns_the_default_format() -> None:
    assert parse_fields("fields", None) is DEFAULT_FIELDS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, Fields(("id",), ("values",), None, None, is_default=False)),
        (
            {"id": "custom_id", "values": "response.body.data.0.embedding"},
            Fields(("custom_id",), ("response", "body", "data", "0", "embedding"), None, None, is_default=False),
        ),
        ({"namespace": "tenant"}, Fields(namespace=("tenant",), metadata=None, is_default=False)),
        ({"metadata": "meta.all"}, Fields(namespace=None, metadata=("meta", "all"), is_default=False)),
        (
            {"metadata": ["title", "doc.url"]},
            Fields(namespace=None, metadata={"title": ("title",), "url": ("doc", "url")}, is_default=False),
        ),
        (
            {"metadata": {"name": "doc.title"}},
            Fields(namespace=None, metadata={"name": ("doc", "title")}, is_default=False),
        ),
    ],
)
def test_parse_fields_returns_the_paths(value: Any, expected: Fields) -> None:
    assert parse_fields("fields", value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("id", "fields must be a dict with the keys id, values, namespace, metadata, not 'id'"),
        ({"vector": "v"}, "fields has the unknown key 'vector'"),
        ({"id": ""}, r"fields\['id'\] must be the name of a field"),
        ({"id": 3}, r"fields\['id'\] must be the name of a field"),
        ({"values": "a..b"}, r"fields\['values'\] must be the name of a field"),
        ({"metadata": 3}, r"fields\['metadata'\] must be a path, a list of paths or a dict"),
        ({"metadata": ["a.title", "b.title"]}, r"names two fields that end in 'title'.*\{\"title\": \"b.title\"\}"),
        ({"metadata": {"": "title"}}, "has the key ''"),
        ({"metadata": {"a.b": "title"}}, r"has the key 'a\.b': Vectorize refuses keys"),
        ({"metadata": {"$a": "title"}}, r"has the key '\$a': Vectorize refuses keys"),
        ({"metadata": {'a"b': "title"}}, "has the key 'a\"b': Vectorize refuses keys"),
        ({"metadata": {"a\ud800": "title"}}, r"has the key 'a\\ud800': Vectorize refuses keys"),
        ({"metadata": ["_id.$oid"]}, r"has the key '\$oid'.* Choose another key with a dict"),
        ({"metadata": {"title": None}}, r"fields\['metadata'\]\['title'\] must be the name of a field"),
    ],
)
def test_parse_fields_refuses_other_shapes(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_fields("fields", value)
