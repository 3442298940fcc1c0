"""Markers of the kind ``vector``: one vector in a namespace of its own, which a read can see.

A marker of the kind ``delete`` shows only if it is the last mutation of a job, which is rare beside busy writers. A
vector can be read back whatever stands behind it in its job. While it exists it counts in ``vectorCount`` and is
visible to queries without a namespace, so it is deleted as soon as no wait needs it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence, Set
from dataclasses import replace

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.markers import marker_id
from airflow_provider_vectorize.api.models import Mutation
from airflow_provider_vectorize.errors import IndexNotFoundError, VectorizeError
from airflow_provider_vectorize.visibility.memory import Memory

log = logging.getLogger(__name__)

NAMESPACE = "airflow-marker"
#: The metadata key with the time at which a marker was sent, in epoch seconds.
_SENT_AT = "sent_at"
#: Markers older than this are left over from a process that ended early, in seconds.
_LEFT_OVER_AFTER = 3_600.0
#: Reads in a row that have to agree, since replicas may lag.
_AGREEING_READS = 3


def send(client: VectorizeClient, index_name: str) -> tuple[str, Mutation]:
    """Upsert one vector that no other marker has. Returns its id and its mutation."""
    dimensions = client.get_index_info(index_name).dimensions
    row = {
        "id": marker_id(),
        "values": _unit(dimensions),  # not zero: the cosine of a zero vector is undefined
        "namespace": NAMESPACE,
        "metadata": {_SENT_AT: time.time()},
    }
    return str(row["id"]), client.upsert(index_name, json.dumps(row).encode() + b"\n")


def shown(client: VectorizeClient, index_name: str, memory: Memory) -> Set[str]:
    """Return the ids of the markers that several reads in a row find.

    A replica that does not know the index shows none. Whether the index is gone is decided by the checks of its state.
    """
    ids = [marker.vector_id for marker in memory.markers if marker.vector_id]
    ids = ids[-client.limits.ids_per_get :]
    found = set(ids)
    for _ in range(_AGREEING_READS):
        if not found:
            break
        try:
            found &= {vector.id for vector in client.get_by_ids(index_name, ids)}
        except IndexNotFoundError:
            return set()
    return found


def remove(client: VectorizeClient, index_name: str, memory: Memory, seen: Set[str]) -> Memory:
    """Delete the vectors of markers that no wait needs any more. Best effort: see :func:`sweep`."""
    oldest = min((state.began for state in memory.waits.values() if not state.proof), default=None)
    done = {
        marker.vector_id: replace(marker, vector_id=None)
        for marker in memory.markers
        if marker.vector_id and (oldest is None or marker.vector_id in seen or marker.check < oldest)
    }
    if not done:
        return memory
    _delete(client, index_name, list(done))
    return replace(memory, markers=tuple(done.get(marker.vector_id or "", marker) for marker in memory.markers))


def sweep(client: VectorizeClient, index_name: str) -> None:
    """Delete the vectors that processes which ended early left behind. Best effort."""
    try:
        dimensions = client.get_index_info(index_name).dimensions
        result = client.query(
            index_name,
            vector=_unit(dimensions),
            namespace=NAMESPACE,
            top_k=client.limits.top_k_full,
            return_metadata="all",
        )
    except VectorizeError as error:
        log.info("Could not look for markers that are left over: %s", error)
        return
    now = time.time()
    old = [match.id for match in result.matches if now - _sent_at(match.metadata) > _LEFT_OVER_AFTER]
    if old:
        _delete(client, index_name, old)


def _sent_at(metadata: object) -> float:
    value = metadata.get(_SENT_AT) if isinstance(metadata, dict) else None
    return float(value) if isinstance(value, (int, float)) else 0.0


def _unit(dimensions: int) -> list[float]:
    return [1.0] + [0.0] * (dimensions - 1)


def _delete(client: VectorizeClient, index_name: str, ids: Sequence[str]) -> None:
    try:
        client.delete_by_ids(index_name, ids)
    except VectorizeError as error:
        log.info("Could not delete %d marker vectors in namespace %s: %s", len(ids), NAMESPACE, error)
