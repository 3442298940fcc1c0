"""Write vectors that are in memory, with as many consecutive requests as they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_vectorize.api import models
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.errors import ConfigError, VectorizeError
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.rows.encoding import EncodingError, encode_row, request_bodies


def write_vectors(
    client: VectorizeClient,
    operation: models.Operation,
    index_name: str,
    vectors: bytes | Iterable[models.Vector | Mapping[str, Any]],
    unparsable_behavior: models.UnparsableBehavior = "error",
) -> models.Mutation:
    """Insert or upsert vectors in the fewest requests that Vectorize accepts.

    Each request is sent after the one before was acknowledged. The last mutation therefore covers all of them, and rows
    with the same ID are written in order.

    :param client: The client that sends the requests.
    :param operation: ``insert`` or ``upsert``.
    :param index_name: Name of the index.
    :param vectors: Vectors as ndjson bytes or as mappings. An iterator is consumed one request at a time.
    :param unparsable_behavior: What Vectorize does with a line that it cannot parse: ``error`` (default) or
        ``discard``.
    :return: The mutation of the last request.
    :raises ConfigError: The value does not hold vectors, or one of them cannot be written as JSON.
    :raises VectorizeError: A request failed, or the client was stopped. The message says what was acknowledged before.
    """
    limits = client.limits
    if isinstance(vectors, (str, Mapping, models.Vector)) or not isinstance(vectors, Iterable):
        raise ConfigError(f"vectors has to be a list of vectors or ndjson as bytes, not {type(vectors).__name__}.")
    rows = _split_lines(vectors) if isinstance(vectors, bytes) else _encode_rows(vectors)
    acknowledged = requests = 0
    mutation: models.Mutation | None = None
    try:
        with client.late.settling():
            for body, count in request_bodies(rows, limits.vectors_per_request, limits.bytes_per_request):
                mutation = client.write(operation, index_name, body, unparsable_behavior=unparsable_behavior)
                acknowledged, requests = acknowledged + count, requests + 1
    except StoppedError:
        raise VectorizeError(f"The {operation} was stopped. {_progress(acknowledged, requests)}".rstrip()) from None
    except VectorizeError as error:
        error.progress = _progress(acknowledged, requests) or error.progress
        raise
    assert mutation is not None  # request_bodies() yields at least one body.
    return mutation


def _progress(acknowledged: int, requests: int) -> str:
    if not requests:
        return ""
    return f"Before that, {pluralize(acknowledged, 'vector')} in {pluralize(requests, 'request')} were acknowledged."


def _split_lines(ndjson: bytes) -> Iterator[bytes]:
    """Yield lines with their newlines. Only ``\\n`` ends a line."""
    start = 0
    while start < len(ndjson):
        end = ndjson.find(b"\n", start) + 1 or len(ndjson)
        yield ndjson[start:end]
        start = end


def _encode_rows(vectors: Iterable[models.Vector | Mapping[str, Any]]) -> Iterator[bytes]:
    for number, vector in enumerate(vectors, 1):
        try:
            line = encode_row(vector.to_dict() if isinstance(vector, models.Vector) else dict(vector))
        except (EncodingError, TypeError, ValueError) as error:
            raise ConfigError(f"Vector {number} cannot be written as JSON: {error}.") from None
        yield line
