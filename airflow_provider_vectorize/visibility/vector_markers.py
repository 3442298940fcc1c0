"""Markers of the kind ``vector``: one vector in a namespace of its own, which can be read back.

The index shows a marker of the kind ``delete`` only if it is the last mutation of a job, which is rare next to busy
writers. A vector can be read back regardless of what follows it in its job. While it exists, it counts in
``vectorCount`` and queries without a namespace can find it, so it is deleted as soon as no wait needs it.
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
#: Metadata key of the time at which a marker was sent, in epoch seconds.
_SENT_AT = "sent_at"
#: Age in seconds above which a marker counts as left over from a process that ended early.
_LEFTOVER_SECONDS = 3_600.0
#: Number of consecutive reads that must return the same result, since replicas may lag.
_CONFIRMING_READS = 3


def send(client: VectorizeClient, index_name: str) -> tuple[str, Mutation]:
    """Upsert one vector with an id that no other marker has. Return its id and its mutation."""
    dimensions = client.get_index_info(index_name).dimensions
    row = {
        "id": marker_id(),
        "values": _unit(dimensions),  # not zero, because the cosine of a zero vector is undefined
        "namespace": NAMESPACE,
        "metadata": {_SENT_AT: time.time()},
    }
    return str(row["id"]), client.upsert(index_name, json.dumps(row).encode() + b"\n")


def visible_ids(client: VectorizeClient, index_name: str, memory: Memory) -> Set[str]:
    """Return the ids of the marker vectors that several consecutive reads find.

    A replica that does not know the index returns none. Only the checks of the index decide whether it was deleted.
    """
    ids = [marker.vector_id for marker in memory.markers if marker.vector_id]
    ids = ids[-client.limits.ids_per_get :]
    visible = set(ids)
    for _ in range(_CONFIRMING_READS):
        if not visible:
            break
        try:
            visible &= {vector.id for vector in client.get_by_ids(index_name, ids)}
        except IndexNotFoundError:
            return set()
    return visible


def delete_unneeded(client: VectorizeClient, index_name: str, memory: Memory, visible: Set[str]) -> Memory:
    """Delete the marker vectors that no wait needs any longer.

    A failure is only logged: :func:`delete_leftovers` deletes such vectors later.

    :param visible: Ids of the marker vectors that were found visible.
    """
    oldest = min((state.first_check for state in memory.waits.values() if not state.proof), default=None)
    without_vector = {
        marker.vector_id: replace(marker, vector_id=None)
        for marker in memory.markers
        if marker.vector_id and (oldest is None or marker.vector_id in visible or marker.check_number < oldest)
    }
    if not without_vector:
        return memory
    _delete(client, index_name, list(without_vector))
    markers = tuple(without_vector.get(marker.vector_id or "", marker) for marker in memory.markers)
    return replace(memory, markers=markers)


def delete_leftovers(client: VectorizeClient, index_name: str) -> None:
    """Delete the marker vectors of processes that ended early. A failure is only logged."""
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
        log.info("Could not search for leftover marker vectors in namespace %s: %s", NAMESPACE, error)
        return
    now = time.time()
    leftovers = [match.id for match in result.matches if now - _sent_at(match.metadata) > _LEFTOVER_SECONDS]
    if leftovers:
        _delete(client, index_name, leftovers)


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
