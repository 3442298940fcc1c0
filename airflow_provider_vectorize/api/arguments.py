"""From what callers give to what is sent. What is checked here costs no request. No I/O."""

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

#: Checks of the words and numbers that callers give.
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
#: What can stand in a URL as the name of an index. An existing index may have a name that a new one cannot have.
_ANY_INDEX_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def index_name(limits: Limits, name: str) -> str:
    """Return the name of an existing index, if it can be one.

    :raises ConfigError: It cannot.
    """
    return _index_name(limits, name, _ANY_INDEX_NAME)


def new_index_name(limits: Limits, name: str) -> str:
    """Return the name of an index to be created, if Vectorize accepts it.

    :raises ConfigError: It does not.
    """
    return _index_name(limits, name, re.compile(limits.index_name_pattern))


def _index_name(limits: Limits, name: str, pattern: re.Pattern[str]) -> str:
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


def new_index(
    limits: Limits,
    name: str,
    *,
    dimensions: int | None,
    metric: models.Metric | None,
    preset: str | None,
    description: str | None,
) -> dict[str, Any]:
    """The body that creates an index, from a preset or from dimensions and a metric.

    :raises ConfigError: neither or both ways were given, or no index can have the name.
    """
    given = parameters.check_values(
        INDEX_CHECKS, dimensions=dimensions, metric=metric, preset=preset, description=description
    )
    dimensions = given["dimensions"]
    if (preset is None) == (dimensions is None and metric is None):
        raise ConfigError("An index is created either from a preset or from dimensions and a metric.")
    if preset is None and (dimensions is None or metric is None):
        raise ConfigError("An index needs both dimensions and a metric (cosine, euclidean or dot-product).")
    config = {"preset": preset} if preset else {"dimensions": dimensions, "metric": metric}
    body: dict[str, Any] = {"name": new_index_name(limits, name), "config": config}
    if description is not None:
        body["description"] = description
    return body


def dimensions_given(dimensions: Any) -> int | None:
    """The number of dimensions, also from text.

    :raises ConfigError: it is none.
    """
    checked: int | None = INDEX_CHECKS["dimensions"]("dimensions", dimensions)
    return checked


def difference(index: models.Index, dimensions: int | None, metric: str | None, preset: str | None) -> str:
    """What an index that is there has otherwise than wanted, or nothing."""
    if preset and preset not in PRESETS:
        return f"and whether the preset {preset} agrees is not known here: give dimensions and metric instead"
    wanted = PRESETS[preset] if preset else dimensions
    if wanted == index.config.dimensions and metric in (None, index.config.metric):
        return ""
    said = f"{wanted} dimensions" + (f" and the metric {metric}" if metric else "")
    return f"not with {said}. Neither can be changed: use another name, or delete it first"


def query(
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
    """The body of a query.

    :raises ConfigError: neither or both of ``vector`` and ``vector_id``.
    :raises InvalidQueryError: topK or filter over the limit, or a vector that is not made of finite numbers.
    """
    if (vector is None) == (vector_id is None):
        raise ConfigError("A query needs either a vector or a vector_id, and not both.")
    given = parameters.check_values(
        QUERY_CHECKS, top_k=top_k, return_values=return_values, return_metadata=return_metadata
    )
    top_k, return_values, return_metadata = given.values()
    cap = limits.top_k_full if return_values or return_metadata == "all" else limits.top_k
    if not 1 <= top_k <= cap:
        raise InvalidQueryError(
            f"top_k has to be 1 to {cap} here, not {top_k}: it is at most {limits.top_k}, "
            f"and {limits.top_k_full} with return_values or return_metadata='all'."
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
        if filter:  # an empty one is the same as none
            body["filter"] = filter
    return body


def _floats(vector: Sequence[float]) -> list[float]:
    if isinstance(vector, str):
        parameters.refuse_stringified_value("vector", vector)
    try:
        values = [float(value) for value in vector]  # numpy's numbers, too, which JSON would not take
    except (TypeError, ValueError):
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise InvalidQueryError("The query's vector has to be a list of finite numbers.")
    return values


def metadata_index(property_name: str, index_type: models.MetadataIndexType) -> dict[str, Any]:
    """The body that creates a metadata index.

    :raises ConfigError: no property has such a name, or there is no such type.
    """
    return {
        "propertyName": parameters.text("property_name", property_name),
        "indexType": METADATA_INDEX_CHECKS["index_type"]("index_type", index_type),
    }


def parts(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    """The ids in lists of so many.

    :raises ConfigError: they are no ids. Of a list all are checked before the first request.
    """
    if not isinstance(ids, Iterator):
        ids = parameters.ids("ids", ids)
    part: list[str] = []
    for number, vector_id in enumerate(ids, 1):
        part.append(parameters.vector_id(f"Item {number} of ids", vector_id))
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
