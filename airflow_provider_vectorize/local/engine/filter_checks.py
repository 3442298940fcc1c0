"""Validation of metadata filters and metadata keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from airflow_provider_vectorize.local.engine.data_problems import InvalidFilter
from airflow_provider_vectorize.local.engine.filters import OPERATORS
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.records import Json


def is_bad_key(key: str) -> bool:
    """Check whether the API refuses a metadata key. Each part of a dotted property name is such a key."""
    return not key or key.startswith("$") or "." in key or '"' in key


def check_filter(filter_: Json, limits: Limits) -> None:
    """Raise InvalidFilter if the API refuses the filter. An empty filter is valid and matches every vector."""
    try:
        size = len(orjson.dumps(filter_))
    except orjson.JSONEncodeError as error:
        raise InvalidFilter("nested too deeply") from error
    if size >= limits.filter_bytes:
        raise InvalidFilter(f"compact JSON must be less than {limits.filter_bytes} bytes, got {size} bytes")
    _check_filter_object(filter_, limits)


def _check_filter_object(filter_: Mapping[str, Any], limits: Limits) -> None:
    for key, value in filter_.items():
        # A dot in the key of a filter means nesting, so each part must be a valid key.
        if len(key) > limits.filter_key_characters or any(is_bad_key(part) for part in key.split(".")):
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
            if (
                not isinstance(operand, list)
                or not operand
                or any(isinstance(element, list | dict) for element in operand)
            ):
                raise InvalidFilter(
                    f'{operator} of "{key}" must be a non-empty array of string, number, boolean or null'
                )
        elif operator in ("$eq", "$ne"):
            if isinstance(operand, list | dict):
                raise InvalidFilter(f'{operator} of "{key}" must be string, number, boolean or null')
        elif isinstance(operand, bool) or not isinstance(operand, str | int | float):
            raise InvalidFilter(f'{operator} of "{key}" must be string or number')
