"""Whether the JSON of a request is what the API takes. Each check returns a record or raises a Problem."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from .filters import OPERATORS
from .limits import PRESETS, Limits
from .problems import (
    IdTooLong,
    InvalidBody,
    InvalidConfig,
    InvalidFilter,
    InvalidId,
    InvalidName,
    NamespaceTooLong,
    TooManyIds,
    TopKTooLarge,
)
from .records import Floats, Json, NewIndex, QueryRequest

METRICS = ("cosine", "euclidean", "dot-product")
INDEX_NAME = re.compile(r"[a-z][a-z0-9_-]*[a-z0-9]")
METADATA_INDEX_TYPES = ("string", "number", "boolean")
NUMBERS = frozenset({int, float})  # a bool is an int in Python, but not a number in JSON


def json_object(body: bytes | bytearray) -> Json:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidBody(str(error)) from error
    if not isinstance(parsed, dict):
        raise InvalidBody(f"invalid type: {_json_type(parsed)}, expected an object")
    return parsed


def _json_type(value: object) -> str:
    names = {str: "string", bool: "boolean", int: "integer", float: "floating point", list: "sequence", dict: "map"}
    return names.get(type(value), "null")


def _field(body: Json, name: str, expected: type, *, default: Any = ...) -> Any:
    value = body.get(name)
    if value is None:
        if default is ...:
            raise InvalidBody(f"missing field `{name}`")
        return default
    if type(value) is not expected:
        raise InvalidBody(f"invalid type: {_json_type(value)}, expected {_json_type(expected())} for `{name}`")
    return value


def floats(values: object) -> Floats | None:
    """The numbers of a JSON array as float32, or None when it is none or float32 cannot hold one of them."""
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
    config = _field(body, "config", dict)
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
        raise InvalidBody(f"unknown variant `{type_}`, expected one of `string`, `number`, `boolean`")
    return name, type_


def property_name(body: Json) -> str:
    name = str(_field(body, "propertyName", str))
    if any(bad_key(part) for part in name.split(".")):
        raise InvalidBody(f"invalid value: `{name}` for `propertyName`")
    return name


def bad_key(key: str) -> bool:
    """Of metadata and, between its dots, of a property."""
    return not key or key.startswith("$") or "." in key or '"' in key


# Vectors and ids


def vector_id(value: str, limits: Limits) -> None:
    if not value:
        raise InvalidId
    if (size := len(value.encode())) > limits.id_bytes:
        raise IdTooLong(limits.id_bytes, size)


def namespace(value: str, limits: Limits) -> None:
    if (size := len(value.encode())) > limits.namespace_bytes:
        raise NamespaceTooLong(limits.namespace_bytes, size)


def ids(body: Json, most: int, limits: Limits, *, says_got: bool) -> list[str]:
    found = _field(body, "ids", list)
    for one in found:
        if type(one) is not str:
            raise InvalidBody(f"invalid type: {_json_type(one)}, expected string for `ids`")
    if len(found) > most:
        raise TooManyIds(most, len(found), says_got=says_got)
    for one in found:
        vector_id(one, limits)
    return list(found)


# Queries


def query(body: Json, limits: Limits) -> QueryRequest:
    vector = vector_id_ = None
    if body.get("vector") is not None:
        vector = floats(body["vector"])
        if vector is None:
            raise InvalidBody("invalid type: expected a sequence of numbers for `vector`")
    else:
        vector_id_ = _field(body, "vectorId", str, default=None)
        if vector_id_ is None:
            raise InvalidBody("missing field `vector`")
        vector_id(vector_id_, limits)
    top_k = _field(body, "topK", int, default=limits.default_top_k)
    return_values = _field(body, "returnValues", bool, default=False)
    return_metadata = _field(body, "returnMetadata", str, default="none")
    if return_metadata not in ("none", "indexed", "all"):
        raise InvalidBody(f"unknown variant `{return_metadata}`, expected one of `none`, `indexed`, `all`")
    if top_k < 1:
        raise InvalidBody(f"invalid value: integer `{top_k}`, expected topK of at least 1")
    with_content = return_values or return_metadata == "all"
    most = limits.top_k_with_content if with_content else limits.top_k
    if top_k > most:
        raise TopKTooLarge(most, top_k, with_content=with_content and top_k <= limits.top_k)
    namespace_ = _field(body, "namespace", str, default=None)
    if namespace_ is not None:
        namespace(namespace_, limits)
    filter_ = _field(body, "filter", dict, default=None)
    if filter_ is not None:
        check_filter(filter_, limits)
    return QueryRequest(vector, vector_id_, top_k, return_values, return_metadata, namespace_, filter_)


def check_filter(filter_: Json, limits: Limits) -> None:
    if not filter_:
        raise InvalidFilter("must be a non-empty object")
    if (size := len(orjson.dumps(filter_))) >= limits.filter_bytes:
        raise InvalidFilter(f"compact JSON must be less than {limits.filter_bytes} bytes, got {size} bytes")
    _check_filter_object(filter_, limits)


def _check_filter_object(filter_: Mapping[str, Any], limits: Limits) -> None:
    for key, value in filter_.items():
        # A dot in a filter's key is nesting, so each part of it must be a key.
        if len(key) > limits.filter_key_characters or any(bad_key(part) for part in key.split(".")):
            raise InvalidFilter(f'bad key "{key}"')
        if isinstance(value, list):
            raise InvalidFilter(f'the value of "{key}" must not be an array; use $in')
        if not isinstance(value, dict):
            continue
        if not value:
            raise InvalidFilter(f'the value of "{key}" must not be an empty object')
        if any(inner.startswith("$") for inner in value):
            _check_operators(key, value)
        else:
            _check_filter_object(value, limits)


def _check_operators(key: str, operators: Mapping[str, Any]) -> None:
    for operator, operand in operators.items():
        if operator not in OPERATORS:
            raise InvalidFilter(f'unknown operator "{operator}" for "{key}"')
        if operator in ("$in", "$nin"):
            if not isinstance(operand, list) or not operand or any(isinstance(one, list | dict) for one in operand):
                raise InvalidFilter(
                    f'{operator} of "{key}" must be a non-empty array of string, number, boolean or null'
                )
        elif operator in ("$eq", "$ne"):
            if isinstance(operand, list | dict):
                raise InvalidFilter(f'{operator} of "{key}" must be string, number, boolean or null')
        elif isinstance(operand, bool) or not isinstance(operand, str | int | float):
            raise InvalidFilter(f'{operator} of "{key}" must be string or number')
