"""Whether a metadata filter, or a key of metadata, is one that the API takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from airflow_provider_vectorize.local.engine.data_problems import InvalidFilter
from airflow_provider_vectorize.local.engine.filters import OPERATORS
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.records import Json


def bad_key(key: str) -> bool:
    """Of metadata and, between its dots, of a property."""
    return not key or key.startswith("$") or "." in key or '"' in key


def check_filter(filter_: Json, limits: Limits) -> None:
    """Raise InvalidFilter for a filter that is refused. An empty one is accepted, and filters nothing."""
    try:
        size = len(orjson.dumps(filter_))
    except orjson.JSONEncodeError as error:
        raise InvalidFilter("nested too deeply") from error
    if size >= limits.filter_bytes:
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
