"""Validation of JSON bodies. Each function returns a valid value or record, or raises a Problem."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from airflow_provider_vectorize.local.engine.data_problems import (
    IdTooLong,
    InvalidBody,
    InvalidId,
    NamespaceTooLong,
    TooManyIds,
    TopKTooLarge,
)
from airflow_provider_vectorize.local.engine.filter_checks import check_filter, is_bad_key
from airflow_provider_vectorize.local.engine.limits import PRESETS, Limits
from airflow_provider_vectorize.local.engine.problems import (
    InvalidConfig,
    InvalidName,
    KvKeyTooLong,
    MalformedKvNamespace,
)
from airflow_provider_vectorize.local.engine.records import Floats, Json, NewIndex, QueryRequest

METRICS = ("cosine", "euclidean", "dot-product")
INDEX_NAME = re.compile(r"[a-z][a-z0-9_-]*[a-z0-9]")
KV_NAMESPACE = re.compile(r"[0-9a-f]{32}")
RETURN_METADATA = ("none", "indexed", "all")
METADATA_INDEX_TYPES = ("string", "number", "boolean")
NUMBERS = frozenset({int, float})  # a bool is an int in Python, but not a number in JSON


def json_object(body: bytes | bytearray) -> Json:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidBody(str(error)) from error
    if not isinstance(parsed, dict):
        raise InvalidBody(f"invalid type: {_json_type(parsed)}, expected a map")
    return parsed


def _json_type(value: object) -> str:
    names = {str: "string", bool: "boolean", int: "integer", float: "floating point", list: "sequence", dict: "map"}
    return names.get(type(value), "null")


def kv_namespace(namespace: str) -> str:
    """Return the namespace ID of Workers KV. Every well-formed ID is a namespace."""
    if not KV_NAMESPACE.fullmatch(namespace):
        raise MalformedKvNamespace(namespace)
    return namespace


def kv_key(operation: str, key: str, limits: Limits) -> str:
    length = len(key.encode())
    if length > limits.kv_key_bytes:
        raise KvKeyTooLong(operation, length, limits.kv_key_bytes)
    return key


def _field(body: Json, name: str, expected: type, *, default: Any = ...) -> Any:
    """Return one field. Null counts as missing. A missing field without a default raises InvalidBody."""
    value = body.get(name)
    if value is None:
        if default is ...:
            raise InvalidBody(f"missing field `{name}`")
        return default
    if type(value) is not expected:
        raise _wrong_type(name, value, _json_type(expected()))
    return value


def _wrong_type(name: str, value: object, expected: str) -> InvalidBody:
    return InvalidBody(f"{name}: invalid type: {_json_type(value)}, expected {expected}")


def _unknown(name: str, value: object, known: Sequence[str]) -> InvalidBody:
    return InvalidBody(
        f"{name}: unknown variant `{value}`, expected one of {', '.join(f'`{variant}`' for variant in known)}"
    )


def floats(values: object) -> Floats | None:
    """Return a JSON array of numbers as float32, or None if it is not one or a number exceeds float32."""
    if not isinstance(values, list) or not NUMBERS.issuperset(map(type, values)):
        return None
    with np.errstate(over="ignore"):
        array = np.array(values, np.float64).astype(np.float32)
    return array if np.isfinite(array).all() else None


# Indexes


def new_index(body: Json, limits: Limits) -> NewIndex:
    name = _field(body, "name", str)
    if len(name.encode()) > limits.index_name_bytes or not INDEX_NAME.fullmatch(name):
        raise InvalidName(name)
    config = body.get("config")
    if not isinstance(config, dict):
        raise InvalidConfig("Config must be provided")
    description = _field(body, "description", str, default="")
    preset = _field(config, "preset", str, default=None)
    if preset is not None:
        if preset not in PRESETS:
            raise InvalidConfig(f"Unknown preset: {preset}")
        return NewIndex(name, description, PRESETS[preset], "cosine", preset)
    dimensions = config.get("dimensions")
    if type(dimensions) is not int or not limits.min_dimensions <= dimensions <= limits.max_dimensions:
        raise InvalidConfig(f"Dimensions must be in range: [{limits.min_dimensions}, {limits.max_dimensions}]")
    metric = config.get("metric")
    if metric not in METRICS:
        raise InvalidConfig(f"Metric must be one of: {', '.join(METRICS)}")
    return NewIndex(name, description, dimensions, str(metric))


def metadata_index(body: Json) -> tuple[str, str]:
    name = property_name(body)
    type_ = str(_field(body, "indexType", str)).lower()
    if type_ not in METADATA_INDEX_TYPES:
        raise _unknown("indexType", type_, METADATA_INDEX_TYPES)
    return name, type_


def property_name(body: Json) -> str:
    name = str(_field(body, "propertyName", str))
    if any(is_bad_key(part) for part in name.split(".")):
        raise InvalidBody(f'propertyName: invalid value: string "{name}", expected a metadata property')
    return name


# Vectors and ids


def vector_id(value: str, limits: Limits) -> None:
    if not value:
        raise InvalidId
    if (size := len(value.encode())) > limits.id_bytes:
        raise IdTooLong(limits.id_bytes, size)


def namespace(value: str, limits: Limits) -> None:
    if (size := len(value.encode())) > limits.namespace_bytes:
        raise NamespaceTooLong(limits.namespace_bytes, size)


def ids(body: Json, max_ids: int, limits: Limits, *, with_count: bool) -> list[str]:
    vector_ids = _field(body, "ids", list)
    for value in vector_ids:
        if type(value) is not str:
            raise _wrong_type("ids", value, "string")
    if len(vector_ids) > max_ids:
        raise TooManyIds(max_ids, len(vector_ids), with_count=with_count)
    for value in vector_ids:
        vector_id(value, limits)
    return list(vector_ids)


# Queries


def query(body: Json, limits: Limits) -> QueryRequest:
    vector = vector_id_ = None
    if body.get("vector") is not None:
        vector = floats(body["vector"])
        if vector is None:
            raise _wrong_type("vector", body["vector"], "a sequence of numbers")
    else:
        vector_id_ = _field(body, "vectorId", str, default=None)
        if vector_id_ is None:
            raise InvalidBody("missing field `vector`")
        vector_id(vector_id_, limits)
    top_k = _field(body, "topK", int, default=limits.default_top_k)
    return_values = _field(body, "returnValues", bool, default=False)
    return_metadata = _field(body, "returnMetadata", str, default="none")
    if return_metadata not in RETURN_METADATA:
        raise _unknown("returnMetadata", return_metadata, RETURN_METADATA)
    if top_k < 1:
        raise InvalidBody(f"topK: invalid value: integer `{top_k}`, expected at least 1")
    with_content = return_values or return_metadata == "all"
    max_top_k = limits.top_k_with_content if with_content else limits.top_k
    if top_k > max_top_k:
        raise TopKTooLarge(max_top_k, top_k, with_content=with_content and top_k <= limits.top_k)
    namespace_ = _field(body, "namespace", str, default=None)
    if namespace_ is not None:
        namespace(namespace_, limits)
    filter_ = _field(body, "filter", dict, default=None)
    if filter_ is not None:
        check_filter(filter_, limits)
    return QueryRequest(vector, vector_id_, top_k, return_values, return_metadata, namespace_, filter_)
