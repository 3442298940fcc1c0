"""Check metadata filters, and explain why a filter matches nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.models import MetadataIndex
from airflow_provider_vectorize.api.transport import as_json
from airflow_provider_vectorize.errors import ApiError, InvalidQueryError

log = logging.getLogger(__name__)

#: Operators that Vectorize supports (docs, "Metadata filtering").
OPERATORS = ("$eq", "$ne", "$in", "$nin", "$lt", "$lte", "$gt", "$gte")
_LIST_OPERATORS = ("$in", "$nin")
_EXAMPLE = '{"year": {"$gte": 2020}, "lang": "en"}'


def check_filter(filter_: Any, limits: Limits) -> None:
    """Raise if Vectorize would refuse a filter, or would silently interpret it in another way.

    :raises InvalidQueryError: The filter is not valid.
    """
    if not isinstance(filter_, Mapping):
        raise InvalidQueryError(f"A filter is a dict such as {_EXAMPLE}, not {type(filter_).__name__}.")
    size = len(as_json(filter_, separators=(",", ":"), ensure_ascii=False))
    if size >= limits.filter_bytes:
        raise InvalidQueryError(
            f"The compact JSON of a filter must be shorter than {limits.filter_bytes} bytes. This one has {size} bytes."
        )
    _check_properties(filter_, "", limits)


def filter_properties(filter_: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the properties in a checked filter. Nested properties are dotted, as in the names of metadata indexes."""
    names: list[str] = []
    for key, value in filter_.items():
        nested = isinstance(value, Mapping) and not any(inner.startswith("$") for inner in value)
        names += filter_properties(value, f"{prefix}{key}.") if nested else [prefix + key]
    return names


def explain_no_match(
    index_name: str, filter_: Mapping[str, Any], list_metadata_indexes: Callable[[str], list[MetadataIndex]]
) -> None:
    """Log a warning if a filter matches nothing because a property has no metadata index.

    :param list_metadata_indexes: Returns the metadata indexes of the index. An :class:`ApiError` is logged, not raised.
    """
    try:
        existing = [metadata_index.property_name for metadata_index in list_metadata_indexes(index_name)]
    except ApiError as error:
        log.info('Query on index "%s" has no matches. Its metadata indexes could not be read: %s', index_name, error)
        return
    missing = [name for name in filter_properties(filter_) if name not in existing]
    if missing:
        log.warning(
            'Query on index "%s" has no matches. The filter matches nothing because no metadata index exists on %s '
            "(existing ones: %s). Create the metadata index, wait until it is visible, and write the vectors again: it "
            "covers only vectors that are written after it has become visible.",
            index_name,
            ", ".join(f'"{name}"' for name in missing),
            ", ".join(existing) or "none",
        )


def _check_properties(filter_: Mapping[str, Any], prefix: str, limits: Limits) -> None:
    for key, value in filter_.items():
        if not isinstance(key, str) or not key or '"' in key or key.startswith("$"):
            raise InvalidQueryError(_bad_key(key))
        if len(key) > limits.filter_key_characters:
            raise InvalidQueryError(
                f'The filter\'s key "{key[:40]}…" has {len(key)} characters. At most {limits.filter_key_characters} '
                "are allowed."
            )
        name = prefix + key
        if isinstance(value, (list, tuple, set)):
            raise InvalidQueryError(
                f'The filter compares "{name}" with a list. To match any of its values, write '
                f'{{"{name}": {{"$in": [...]}}}}.'
            )
        if isinstance(value, Mapping):
            _check_object(name, value, limits)


def _bad_key(key: object) -> str:
    if key in ("$and", "$or", "$not", "$nor"):
        return (
            f"Vectorize has no {key}. Several properties in one filter are combined with AND. Send a query for each "
            "alternative of an OR, or use $in."
        )
    if key in OPERATORS:
        return f"The operator {key} stands in place of a property. Write {{property: {{{key!r}: value}}}}."
    return f'{key!r} cannot be a key of a filter. Keys must be non-empty text, without " and without a leading $.'


def _check_object(name: str, value: Mapping[str, Any], limits: Limits) -> None:
    if not value:
        raise InvalidQueryError(f'The filter has an empty object for "{name}". Write a value or an operator.')
    keys = [str(key) for key in value]
    if any(key.startswith("$") for key in keys):
        for operator, operand in value.items():
            _check_operator(name, operator, operand)
        return
    operator_without_dollar = next((key for key in keys if f"${key.lower()}" in OPERATORS), None)
    if operator_without_dollar is not None:
        raise InvalidQueryError(
            f'"{operator_without_dollar}" in the filter on "{name}" is not an operator. Write '
            f'"${operator_without_dollar.lower()}". If it is the name of a nested property, write '
            f'"{name}.{operator_without_dollar}" as the key.'
        )
    _check_properties(value, f"{name}.", limits)


def _check_operator(name: str, operator: Any, operand: Any) -> None:
    if operator not in OPERATORS:
        raise InvalidQueryError(
            f'The filter on "{name}" has the unknown operator {operator!r}. Vectorize supports {", ".join(OPERATORS)}.'
        )
    if operator in _LIST_OPERATORS:
        if not isinstance(operand, (list, tuple)) or not operand:
            raise InvalidQueryError(f'{operator} in the filter on "{name}" needs a non-empty list of values.')
        operands = list(operand)
    else:
        operands = [operand]
    for operand_value in operands:
        if isinstance(operand_value, (list, tuple, set, Mapping)):
            raise InvalidQueryError(
                f'{operator} in the filter on "{name}" requires a string, a number, a boolean or null, not a '
                f"{type(operand_value).__name__}."
            )
