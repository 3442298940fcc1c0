"""Compare a sample of the index with the state, and a sample of the source with the state."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.errors import IndexNotFoundError, SourceError
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.rows.hashing import UNKNOWN, RowHasher, is_comparable
from airflow_provider_vectorize.rows.reader import RowReader
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.source_object import SourceObject
from airflow_provider_vectorize.sync.decisions import Sample
from airflow_provider_vectorize.sync.table import IdTable, id_keys
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
#: Number of vectors that are compared by value if only a key of the metadata tells whether a row has changed.
COMPARED_VALUES = 20
#: Number of objects whose beginning is sampled, and maximum number of rows of each.
SAMPLED_OBJECTS, SAMPLED_ROWS = 16, 200


# ---------------------------------------------------------------- the index


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
        if verdict.failure or client.clock.now() >= deadline:
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


# ---------------------------------------------------------------- the source


def sample_source(
    table: IdTable,
    objects: Sequence[SourceObject],
    reader: RowReader,
    hasher: RowHasher,
    read_vectors: Callable[[Sequence[str]], Sequence[Any]] | None,
) -> Sample:
    """Compare a few rows of the source with the state.

    :param objects: The objects that will be opened.
    :param reader: Reads the beginnings of the objects. Only good rows are compared.
    :param read_vectors: Reads vectors from the index, to compare their values. ``None``: hashes tell enough.
    """
    hashes: dict[str, int] = {}
    texts: dict[str, bytes] = {}
    sizes: list[tuple[int, int]] = []
    for source_object, rows in _first_blocks(objects, reader):
        sizes.append((len(rows.ends) + len(rows.bad), reader.stored_bytes_before(source_object, rows.end)))
        for vector_id, text in _good_rows(rows):
            hashes[vector_id], texts[vector_id] = hasher.hash_line(text), text
    known = _known_hashes(table, list(hashes))
    changed = [vector_id for vector_id in known if known[vector_id] != hashes[vector_id]]
    cosines: list[float] = []
    if read_vectors and known:
        compared = list(known)[:: max(1, len(known) // COMPARED_VALUES)][:COMPARED_VALUES]
        for vector in read_vectors(compared):
            cosines.append(_cosine(vector.values, msgspec.json.decode(texts[vector.id])["values"]))
    return Sample(len(known), len(changed), cosines, len(hashes), _estimate_rows(objects, sizes))


def _known_hashes(table: IdTable, ids: Sequence[str]) -> dict[str, int]:
    if not ids or not len(table):
        return {}
    keys = id_keys(ids)
    known = {}
    for vector_id, key, candidate in zip(ids, keys.tolist(), table.find(keys).tolist(), strict=True):
        position = table.find_exactly(vector_id, key, candidate)
        if position >= 0 and int(table.hashes[position]) != UNKNOWN:
            known[vector_id] = int(table.hashes[position])
    return known


def _first_blocks(objects: Sequence[SourceObject], reader: RowReader) -> Iterator[tuple[SourceObject, Rows]]:
    """Yield the first block of some objects, spread over the source."""
    step = max(1, len(objects) // SAMPLED_OBJECTS)
    for source_object in objects[::step][:SAMPLED_OBJECTS]:
        try:
            blocks = reader.read(source_object, Position())
            with closing(blocks):  # type: ignore[type-var] # It is a generator.
                rows = next(blocks, None)
        except SourceError as error:
            log.info("Could not look at an object before the sync: %s", error)
            continue  # Reading all of it will report what is wrong.
        if rows:
            yield source_object, rows


def _good_rows(rows: Rows) -> Iterator[tuple[str, bytes]]:
    """Yield ID and text of good rows at the beginning of a block."""
    for row, (first, stop) in enumerate(pairwise((0, *rows.ends[:SAMPLED_ROWS]))):
        vector_id = rows.ids[row]
        if vector_id is not None:
            yield vector_id, rows.body[first:stop]


def _estimate_rows(objects: Sequence[SourceObject], sizes: Sequence[tuple[int, int]]) -> int:
    """Estimate the number of rows, or return 0 if the stored size of some rows is not known, as in a compressed object.

    :param sizes: The number of rows and the stored bytes of each block that was read.
    """
    rows, stored = sum(rows for rows, _ in sizes), sum(stored for _, stored in sizes)
    if not all(stored for _, stored in sizes) or not stored:
        return 0
    return round(rows * sum(source_object.size or 0 for source_object in objects) / stored)


def _cosine(first: Sequence[float], second: Sequence[float]) -> float:
    a, b = np.array(first), np.array(second)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else 1.0
