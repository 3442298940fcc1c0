"""Check the arguments of callers and build request bodies from them. No I/O, so an error here costs no request."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from airflow_provider_vectorize import parameters
from airflow_provider_vectorize.api import models
from airflow_provider_vectorize.api.filters import check_filter
from airflow_provider_vectorize.api.limits import PRESETS, Limits
from airflow_provider_vectorize.errors import ConfigError, InvalidQueryError

#: Checks for arguments, by the name of the argument.
INDEX_CHECKS: dict[str, parameters.Check] = {
    "dimensions": parameters.optional(parameters.whole_number(1)),
    "metric": parameters.optional(parameters.one_of(*get_args(models.Metric))),
    "preset": parameters.optional(parameters.text),
    "description": parameters.optional(parameters.text_or_empty),
}
QUERY_CHECKS: Mapping[str, parameters.Check] = {
    "top_k": parameters.whole_number(),
    "return_values": parameters.flag,
    "return_metadata": parameters.one_of(*get_args(models.ReturnMetadata)),
}
METADATA_INDEX_CHECKS: dict[str, parameters.Check] = {
    "index_type": parameters.one_of(*get_args(models.MetadataIndexType)),
}
#: Index names that are safe in a URL. An existing index may have a name that is not allowed for new ones.
_ANY_INDEX_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def check_index_name(limits: Limits, name: str) -> str:
    """Return the name of an existing index unchanged.

    :raises ConfigError: No index can have this name.
    """
    return _check_name(limits, name, _ANY_INDEX_NAME)


def check_new_index_name(limits: Limits, name: str) -> str:
    """Return the name of a new index unchanged.

    :raises ConfigError: Vectorize does not accept this name for a new index.
    """
    return _check_name(limits, name, re.compile(limits.index_name_pattern))


def _check_name(limits: Limits, name: str, pattern: re.Pattern[str]) -> str:
    rules = (
        "A name has lower-case letters, digits, - and _, starts with a letter, ends with a letter or a digit, and has "
        f"2 to {limits.index_name_bytes} characters."
    )
    if name != "":
        try:
            parameters.text("index_name", name)
        except ConfigError as error:
            raise ConfigError(f"{error.message} {rules}") from None
    if not pattern.fullmatch(name) or len(name.encode()) > limits.index_name_bytes:
        raise ConfigError(f"{name!r} cannot be the name of an index. {rules}")
    return name


def index_body(
    limits: Limits,
    name: str,
    *,
    dimensions: int | None,
    metric: models.Metric | None,
    preset: str | None,
    description: str | None,
) -> dict[str, Any]:
    """Return the body of a request that creates an index.

    :raises ConfigError: The name is not allowed, or the shape is not given by either a preset or dimensions and a
        metric.
    """
    given = parameters.check_values(
        INDEX_CHECKS, dimensions=dimensions, metric=metric, preset=preset, description=description
    )
    dimensions = given["dimensions"]
    if (preset is None) == (dimensions is None and metric is None):
        raise ConfigError("Give either a preset or dimensions and a metric to create an index.")
    if preset is None and (dimensions is None or metric is None):
        raise ConfigError("Give both dimensions and a metric (cosine, euclidean or dot-product) to create an index.")
    config = {"preset": preset} if preset else {"dimensions": dimensions, "metric": metric}
    body: dict[str, Any] = {"name": check_new_index_name(limits, name), "config": config}
    if description is not None:
        body["description"] = description
    return body


def check_dimensions(dimensions: Any) -> int | None:
    """Return the number of dimensions as an integer. It may be given as text.

    :raises ConfigError: The value is not a whole number of at least 1.
    """
    checked: int | None = INDEX_CHECKS["dimensions"]("dimensions", dimensions)
    return checked


def shape_mismatch(index: models.Index, dimensions: int | None, metric: str | None, preset: str | None) -> str:
    """Return one or more sentences on how an existing index differs from the requested one, or "" if it matches."""
    if preset and preset not in PRESETS:
        return (
            f"The dimensions of the preset {preset} are unknown to this provider. Give dimensions and metric instead."
        )
    requested_dimensions = PRESETS[preset] if preset else dimensions
    if requested_dimensions == index.config.dimensions and metric in (None, index.config.metric):
        return ""
    requested = f"{requested_dimensions} dimensions" + (f" and the metric {metric}" if metric else "")
    return f"The requested index has {requested}. Neither can be changed. Use another name, or delete the index first."


def query_body(
    limits: Limits,
    *,
    vector: Sequence[float] | None,
    vector_id: str | None,
    top_k: int,
    namespace: str | None,
    filter: Mapping[str, Any] | None,
    return_values: bool,
    return_metadata: models.ReturnMetadata,
) -> dict[str, Any]:
    """Return the body of a query.

    :raises ConfigError: Neither or both of ``vector`` and ``vector_id`` are given.
    :raises InvalidQueryError: ``top_k`` is out of range, the filter is not valid, or the vector is not a list of
        finite numbers.
    """
    if (vector is None) == (vector_id is None):
        raise ConfigError("A query needs either a vector or a vector_id, not both.")
    given = parameters.check_values(
        QUERY_CHECKS, top_k=top_k, return_values=return_values, return_metadata=return_metadata
    )
    top_k, return_values, return_metadata = given.values()
    highest = limits.top_k_full if return_values or return_metadata == "all" else limits.top_k
    if not 1 <= top_k <= highest:
        raise InvalidQueryError(
            f"top_k must be 1 to {highest} for this query, not {top_k}. The maximum is {limits.top_k}, or "
            f"{limits.top_k_full} with return_values or return_metadata='all'."
        )
    body: dict[str, Any] = {"topK": top_k, "returnValues": return_values, "returnMetadata": return_metadata}
    if vector is not None:
        body["vector"] = _floats(vector)
    else:
        body["vectorId"] = parameters.vector_id("vector_id", vector_id)
    if namespace is not None:
        body["namespace"] = parameters.text_or_empty("namespace", namespace)
    if filter is not None:
        if isinstance(filter, str):
            parameters.refuse_stringified_value("filter", filter)
        check_filter(filter, limits)
        if filter:  # An empty filter has the same meaning as no filter.
            body["filter"] = filter
    return body


def _floats(vector: Sequence[float]) -> list[float]:
    if isinstance(vector, str):
        parameters.refuse_stringified_value("vector", vector)
    try:
        values = [float(value) for value in vector]  # Also converts numbers of NumPy, which JSON does not support.
    except (TypeError, ValueError):
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise InvalidQueryError("The vector of a query must be a list of finite numbers.")
    return values


def metadata_index_body(property_name: str, index_type: models.MetadataIndexType) -> dict[str, Any]:
    """Return the body of a request that creates a metadata index.

    :raises ConfigError: The name is not text or is empty, or the type does not exist.
    """
    return {
        "propertyName": parameters.text("property_name", property_name),
        "indexType": METADATA_INDEX_CHECKS["index_type"]("index_type", index_type),
    }


def split_ids(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    """Split ids into lists of at most ``size`` ids.

    :raises ConfigError: A value is not an id. A list is checked completely before the first request. An iterator is
        checked while it is read.
    """
    if not isinstance(ids, Iterator):
        ids = parameters.ids("ids", ids)
    batch: list[str] = []
    for number, vector_id in enumerate(ids, 1):
        batch.append(parameters.vector_id(f"Item {number} of ids", vector_id))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
