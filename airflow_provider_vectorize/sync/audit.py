"""Compare a sample of the index with the state."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import Any

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.errors import IndexNotFoundError
from airflow_provider_vectorize.rows.hashing import UNKNOWN, RowHasher, is_comparable
from airflow_provider_vectorize.sync.table import IdTable
from airflow_provider_vectorize.visibility.monitor import IndexMonitor, WaitRequest
from airflow_provider_vectorize.visibility.rule import MarkerKind
from airflow_provider_vectorize.visibility.waits import waits_for

log = logging.getLogger(__name__)

#: Number of vectors that the audit reads back: a loss of 3 % is found with a probability of 95 %.
AUDITED = 100
#: Number of times that a vector must differ, and the seconds between two reads. Replicas lag.
READS, READ_SECONDS = 4, 10.0
#: Seconds between two checks of the visibility, and seconds after which the audit gives up.
CHECK_SECONDS, MAX_WAIT_SECONDS = 5.0, 900.0


def wait_until_visible(
    client: VectorizeClient, monitor: IndexMonitor, mutation: Mapping[str, Any], marker: MarkerKind
) -> bool:
    """Wait until a mutation is proved to be visible. Return ``False`` if that takes too long.

    :param client: Its clock is used.
    :param mutation: The last mutation of the state.
    :param marker: Kind of marker that may be sent.
    :raises StoppedError: The client was stopped.
    """
    request = WaitRequest(tuple(waits_for([mutation], None)), marker)
    deadline = client.clock.now() + MAX_WAIT_SECONDS
    while True:
        verdicts, delay = monitor.check({"audit": request})
        verdict = verdicts["audit"]
        if verdict.visible:
            return True
        # A dry run sends no marker, and without one nothing proves a write that later writes hide.
        is_hidden = marker == "none" and verdict.needs_marker
        if verdict.failure or is_hidden or client.clock.now() >= deadline:
            log.warning(
                "Skipped the audit, because it cannot be proved that the last write is visible. %s", verdict.text
            )
            return False
        log.info("Waiting before the audit until the last write is visible. %s", verdict.text)
        _wait(client, max(delay, CHECK_SECONDS))


def _wait(client: VectorizeClient, seconds: float) -> None:
    if client.clock.wait(client.pacer.stopped, seconds):
        raise StoppedError


def choose_ids(table: IdTable, excluded: set[str], rng: random.Random) -> dict[str, int]:
    """Return up to :data:`AUDITED` random IDs whose hash is known, with their hashes.

    :param excluded: IDs of pending logs, whose last mutation is not known.
    """
    chosen: dict[str, int] = {}
    for _ in range(10 * AUDITED if len(table) else 0):
        position = rng.randrange(len(table))
        content = int(table.hashes[position])
        if content != UNKNOWN and (vector_id := table.id(position)) not in excluded:
            chosen[vector_id] = content
        if len(chosen) == AUDITED:
            break
    return chosen


def different_ids(client: VectorizeClient, index_name: str, expected: Mapping[str, int], hasher: RowHasher) -> set[str]:
    """Return the IDs whose vectors differ from the state in every one of several reads."""
    different = set(expected)
    for read in range(READS):
        if read:
            log.info(
                "%d of these vectors differ from the state. Reading them again in %.0f s, because replicas may lag.",
                len(different),
                READ_SECONDS,
            )
            _wait(client, READ_SECONDS)
        try:
            vectors = {vector.id: vector for vector in client.get_by_ids(index_name, sorted(different))}
        except IndexNotFoundError:  # A replica may not know the index yet.
            vectors = {}
        different = {
            vector_id
            for vector_id in different
            if (vector := vectors.get(vector_id)) is None
            or (
                is_comparable(vector.metadata)
                and hasher.hash_vector(vector.values, vector.namespace, vector.metadata) != expected[vector_id]
            )
        }
        if not different:
            break
    return different
