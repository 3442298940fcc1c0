"""Write vectors that are in memory: as many requests as they need, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_vectorize.api import models
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.errors import ConfigError, VectorizeError
from airflow_provider_vectorize.rows.encoding import EncodingError, encode_row, request_bodies


def write_vectors(
    client: VectorizeClient,
    operation: models.Operation,
    index_name: str,
    vectors: bytes | Iterable[models.Vector | Mapping[str, Any]],
    unparsable_behavior: models.UnparsableBehavior = "error",
) -> models.Mutation:
    """Insert or upsert vectors in the fewest requests that Vectorize accepts.

    The requests are sent in order, each after the one before was acknowledged, so that the last mutation stands for
    all of them and rows that share an id keep their order.

    :param vectors: ndjson, or vectors as mappings. An iterator is consumed a request at a time.
    :return: the last request's mutation.
    :raises ConfigError: these are no vectors, or one of them cannot be written as JSON.
    :raises VectorizeError: its text tells what was acknowledged before.
    """
    limits = client.limits
    if isinstance(vectors, (str, Mapping, models.Vector)) or not isinstance(vectors, Iterable):
        raise ConfigError(f"vectors has to be a list of vectors or ndjson as bytes, not {type(vectors).__name__}.")
    rows = _lines(vectors) if isinstance(vectors, bytes) else _encoded(vectors)
    acknowledged = requests = 0
    mutation: models.Mutation | None = None
    try:
        with client.late.settling():
            for body, count in request_bodies(rows, limits.vectors_per_request, limits.bytes_per_request):
                mutation = client.write(operation, index_name, body, unparsable_behavior=unparsable_behavior)
                acknowledged, requests = acknowledged + count, requests + 1
    except VectorizeError as error:
        if requests:
            error.progress = f"Before that, {acknowledged:,} vectors in {requests} requests were acknowledged."
        raise
    assert mutation is not None  # request_bodies() yields at least one
    return mutation


def _lines(ndjson: bytes) -> Iterator[bytes]:
    """Lines with their newlines. Only ``\\n`` ends one."""
    start = 0
    while start < len(ndjson):
        end = ndjson.find(b"\n", start) + 1 or len(ndjson)
        yield ndjson[start:end]
        start = end


def _encoded(vectors: Iterable[models.Vector | Mapping[str, Any]]) -> Iterator[bytes]:
    for number, vector in enumerate(vectors, 1):
        try:
            line = encode_row(vector.to_dict() if isinstance(vector, models.Vector) else dict(vector))
        except (EncodingError, TypeError, ValueError) as error:
            raise ConfigError(f"Vector {number} cannot be written as JSON: {error}.") from None
        yield line
