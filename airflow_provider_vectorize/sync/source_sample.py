"""Compare a sample of the source with the state, before anything is sent."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field
from itertools import accumulate, islice, pairwise
from typing import Any

import msgspec
import numpy as np

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.rows.hashing import UNKNOWN, RowHasher
from airflow_provider_vectorize.rows.reader import RowReader
from airflow_provider_vectorize.sources.lines import READ_BYTES, Position
from airflow_provider_vectorize.sources.source_object import SourceObject
from airflow_provider_vectorize.sync.decisions import Sample
from airflow_provider_vectorize.sync.table import IdTable, id_keys

log = logging.getLogger(__name__)

#: Number of places of the source that are sampled, and maximum number of rows of each block that is read there.
PLACES, SAMPLED_ROWS = 16, 200
#: Number of vectors with an unchanged key that are compared by value, if only this key tells whether a row has changed.
COMPARED_VALUES = 20


@dataclass
class _Place:
    """What was read at one place of the source.

    :param weight: Share of the source for which it stands, as a number of places.
    :param texts: Text of each sampled row, by ID.
    :param rows: Number of rows that were read there, good and bad.
    :param stored: The stored bytes of these rows, 0 if they are not known.
    """

    weight: int
    texts: dict[str, bytes] = field(default_factory=dict)
    rows: int = 0
    stored: int = 0


def sample_source(
    table: IdTable,
    objects: Sequence[SourceObject],
    reader: RowReader,
    hasher: RowHasher,
    read_vectors: Callable[[Sequence[str]], Sequence[Any]] | None,
) -> Sample:
    """Compare a few rows from all over the source with the state.

    The rows that changed may be next to each other, for instance because the source is sorted by time. Each place
    therefore counts by its share of the source, not by the number of its rows.

    :param objects: The objects that will be opened.
    :param reader: Reads the places. Only good rows are compared.
    :param read_vectors: Reads vectors from the index, to compare the values of rows with the same key. ``None``:
        hashes tell enough.
    """
    places = list(_read_places(objects, reader))
    texts = {vector_id: text for place in places for vector_id, text in place.texts.items()}
    hashes = {vector_id: hasher.hash_line(text) for vector_id, text in texts.items()}
    known = _known_hashes(table, list(hashes))
    changed = {vector_id for vector_id in known if known[vector_id] != hashes[vector_id]}
    cosines: list[float] = []
    same_key = [vector_id for vector_id in known if vector_id not in changed]
    if read_vectors and same_key:  # The others have other values because their rows have changed.
        compared = same_key[:: max(1, len(same_key) // COMPARED_VALUES)][:COMPARED_VALUES]
        for vector in read_vectors(compared):
            cosines.append(_cosine(vector.values, msgspec.json.decode(texts[vector.id])["values"]))
    share = _weighted_share(places, known.keys(), changed)
    return Sample(len(known), len(changed), share, cosines, len(hashes), _estimate_rows(objects, places))


def _weighted_share(places: Sequence[_Place], known: Set[str], changed: Set[str]) -> float:
    """Return the share of the known vectors that changed."""
    shares = [
        (place.weight, len(place.texts.keys() & changed) / count)
        for place in places
        if (count := len(place.texts.keys() & known))
    ]
    return sum(weight * share for weight, share in shares) / sum(weight for weight, _ in shares) if shares else 0.0


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


# ---------------------------------------------------------------- reading


def _read_places(objects: Sequence[SourceObject], reader: RowReader) -> Iterator[_Place]:
    """Read a block at each place, or as many blocks as places that can only be read as one."""
    positions: Counter[Position] = Counter()
    for number, offset in spread_evenly([source_object.size or 0 for source_object in objects]):
        try:
            position = reader.position_near(objects[number], offset) if offset else Position()
        except SourceError as error:
            _log_unread(error)
            continue
        positions[position._replace(object=number)] += 1
    for position, weight in positions.items():
        try:
            yield _read_place(objects[position.object], reader, position, weight)
        except SourceError as error:
            _log_unread(error)


def _read_place(source_object: SourceObject, reader: RowReader, position: Position, weight: int) -> _Place:
    place, end = _Place(weight), position
    blocks = reader.read(source_object, position)
    with closing(blocks):  # type: ignore[type-var] # It is a generator.
        for rows in islice(blocks, weight):
            place.texts.update(_good_rows(rows))
            place.rows += len(rows.ends) + len(rows.bad)
            end = rows.end
    stored_before = reader.stored_bytes_before
    place.stored = stored_before(source_object, end) - stored_before(source_object, position)
    return place


def _log_unread(error: SourceError) -> None:
    """Log why a place is not sampled. Reading all of its object will report what is wrong."""
    log.info("Could not look at an object before the sync: %s", error)


def spread_evenly(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the number of an object and an offset for each place, spread evenly over all bytes of the source.

    An object that one read covers is read from its beginning.

    :param sizes: The stored bytes of each object, 0 if they are not known.
    """
    if not any(sizes):
        sizes = [1] * len(sizes)
    ends = list(accumulate(sizes))
    count = min(PLACES, max(len(sizes), -(-ends[-1] // READ_BYTES)))
    places = []
    for offset in (ends[-1] * place // count for place in range(count)):
        number = int(np.searchsorted(ends, offset, "right"))
        start = ends[number] - sizes[number]
        places.append((number, offset - start if sizes[number] > READ_BYTES else 0))
    return places


def _good_rows(rows: Rows) -> Iterator[tuple[str, bytes]]:
    """Yield ID and text of good rows from all over a block."""
    bounds = list(pairwise((0, *rows.ends)))
    for row in range(0, len(bounds), -(-len(bounds) // SAMPLED_ROWS) or 1):
        vector_id = rows.ids[row]
        if vector_id is not None:
            yield vector_id, rows.body[slice(*bounds[row])]


def _estimate_rows(objects: Sequence[SourceObject], places: Sequence[_Place]) -> int:
    """Estimate the number of rows, or return 0 if the stored size of some rows is not known, as in a compressed object.

    :param places: What was read.
    """
    if not places or not all(place.stored for place in places):
        return 0
    rows, stored = sum(place.rows for place in places), sum(place.stored for place in places)
    return round(rows * sum(source_object.size or 0 for source_object in objects) / stored)


def _cosine(first: Sequence[float], second: Sequence[float]) -> float:
    a, b = np.array(first), np.array(second)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else 1.0
