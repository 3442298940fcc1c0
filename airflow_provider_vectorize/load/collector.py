"""Collect what checks need while the rows of a load or a sync stream by.

A collector sees every good row of the source, also those that an earlier attempt has already sent: a load that resumes
reads its source from the beginning. So what it collected is complete, or the load has failed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from airflow_provider_vectorize.api.models import Index, Metric
from airflow_provider_vectorize.load.collection import CollectedQuery, Collection, values_digest
from airflow_provider_vectorize.load.neighbors import NeighborSearch, last_rows
from airflow_provider_vectorize.load.row_hashes import ZERO, RowHashes
from airflow_provider_vectorize.rows.block_rows import Rows, unprocessed_rows
from airflow_provider_vectorize.rows.float32_text import read_values
from airflow_provider_vectorize.rows.hashing import float32_bytes
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.reader import RowReader, read_rows
from airflow_provider_vectorize.sources.source_object import SourceObject

#: Number of vectors whose neighbors are searched.
QUERIES = 30
#: Number of rows at the beginning of the source from which these are drawn. They are kept until then, so that no
#: neighbor is missed. The neighbors of a vector that is drawn later could be among the rows that are already gone.
DRAWN_FROM = 4_096
#: Number of vectors of which a digest is kept. They are a random sample of all IDs.
SAMPLES = 500
#: Number of zero vectors whose IDs are kept.
ZERO_IDS = 5


class Collector:
    """Collects what checks need of one load: :meth:`start`, then :meth:`see` for each block, then :meth:`finish`.

    One thread at a time may use it.
    """

    def __init__(self) -> None:
        self._metric: Metric = "cosine"
        self._hashes = RowHashes()
        self._samples = _IdSample()
        self._zero_ids: list[str] = []
        self._query_ids: list[str] = []
        self._replaced_ids: set[str] = set()
        self._query_values: np.ndarray = np.empty((0, 0), np.float32)
        self._search: NeighborSearch | None = None
        self._before: list[tuple[Sequence[str], np.ndarray]] = []

    def start(self, index: Index) -> None:
        """Prepare for the rows of a load into an index."""
        self._metric = index.config.metric

    def see(self, rows: Rows) -> None:
        """Collect what is needed of the good rows of a block.

        :raises VectorizeError: The temporary directory cannot be used.
        """
        if not rows.ends:
            return
        ids = [str(vector_id) for vector_id in rows.ids]
        values = _values(rows)
        id_hashes = np.fromiter(map(hash, ids), np.int64, len(ids)).view(np.uint64)
        is_zero = np.asarray(~values.any(axis=1))
        self._hashes.add(id_hashes, _value_hashes(values, is_zero))
        self._samples.add(ids, id_hashes, values)
        if is_zero.any() and len(self._zero_ids) < ZERO_IDS:
            self._zero_ids += [ids[row] for row in np.flatnonzero(is_zero)[: ZERO_IDS - len(self._zero_ids)].tolist()]
        rows_by_id = last_rows(ids)
        self._note_replaced_queries(rows_by_id, values)
        if len(rows_by_id) < len(ids):
            kept = sorted(rows_by_id.values())
            ids, values = [ids[row] for row in kept], values[kept]
        self._search_neighbors(ids, values)

    def _note_replaced_queries(self, rows_by_id: Mapping[str, int], values: np.ndarray) -> None:
        """Note the queries whose vectors get other values, so that they are not their own nearest neighbors."""
        for number, vector_id in enumerate(self._query_ids):
            row = rows_by_id.get(vector_id)
            if row is not None and not np.array_equal(values[row], self._query_values[number]):
                self._replaced_ids.add(vector_id)

    def _search_neighbors(self, ids: Sequence[str], values: np.ndarray) -> None:
        """Search neighbors of the queries, or keep the rows from which the queries are drawn."""
        if self._search is not None:
            self._search.add(ids, values)
            return
        self._before.append((ids, values))
        if sum(len(before) for before, _ in self._before) >= DRAWN_FROM:
            self._start_search()

    def _start_search(self) -> None:
        """Draw the queries from the rows so far: those with the lowest checksums of their IDs, the same in each run."""
        last = {vector_id: row for ids, values in self._before for vector_id, row in zip(ids, values, strict=True)}
        nonzero = [vector_id for vector_id, row in last.items() if row.any()]
        self._query_ids = sorted(nonzero, key=lambda vector_id: zlib.crc32(vector_id.encode()))[:QUERIES]
        dimensions = self._before[0][1].shape[1]
        drawn = [last[vector_id] for vector_id in self._query_ids]
        self._query_values = np.array(drawn, np.float32).reshape(-1, dimensions)
        self._search = NeighborSearch(self._metric, self._query_values)
        for ids, values in self._before:
            self._search.add(ids, values)
        self._before = []

    def finish(self, index_name: str, operation: str, created_on: str | None) -> Collection:
        """Return what was collected of all rows.

        :raises VectorizeError: The temporary directory cannot be used.
        """
        if self._before:
            self._start_search()
        return Collection(
            index_name=index_name,
            operation=operation,
            created_on=created_on,
            counts=self._hashes.count(),
            zero_ids=tuple(self._zero_ids),
            samples=self._samples.digests(),
            queries=tuple(self._queries()),
        )

    def _queries(self) -> Iterator[CollectedQuery]:
        for number, vector_id in enumerate(self._query_ids):
            neighbors = tuple(self._search.neighbors(number)) if self._search else ()
            if neighbors and vector_id not in self._replaced_ids:
                yield CollectedQuery(vector_id, tuple(self._query_values[number].tolist()), neighbors)


class _IdSample:
    """A random sample of IDs, with a digest of the last values of each: the IDs with the lowest hashes."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}
        self._limit = np.uint64(2**64 - 1)

    def add(self, ids: Sequence[str], id_hashes: np.ndarray, values: np.ndarray) -> None:
        for row in np.flatnonzero(id_hashes <= self._limit).tolist():
            self._found[ids[row]] = int(id_hashes[row]), values_digest(values[row])
        if len(self._found) > 2 * SAMPLES:
            self._shorten()

    def digests(self) -> dict[str, str]:
        """Return the digests by ID."""
        self._shorten()
        return {vector_id: digest for vector_id, (_, digest) in self._found.items()}

    def _shorten(self) -> None:
        kept = sorted(self._found.items(), key=lambda item: item[1][0])[:SAMPLES]
        self._found = dict(kept)
        if len(kept) == SAMPLES:
            self._limit = np.uint64(kept[-1][1][0])


def _values(rows: Rows) -> np.ndarray:
    """Return the values of the good rows of a block as float32, a row for each."""
    if rows.values is not None:
        return rows.values.reshape(len(rows.ends), -1).astype(np.float32, copy=False)
    return read_values(rows.body, rows.ends)


def _value_hashes(values: np.ndarray, is_zero: np.ndarray) -> np.ndarray:
    """Return a hash of the values of each row that is stable within this process."""
    step, raw = 4 * values.shape[1], float32_bytes(values)
    hashes = np.fromiter(
        (hash(raw[start : start + step]) for start in range(0, len(raw), step)), np.int64, len(values)
    ).view(np.uint64)
    hashes[hashes == ZERO] = 1
    hashes[is_zero] = ZERO
    return hashes


def read_collected_rows(
    objects: Sequence[SourceObject], reader: RowReader, processed: ProcessedRanges, collector: Collector
) -> Iterator[Rows]:
    """Yield the rows of a source that are not processed yet, after the collector has seen every row before them.

    :param objects: The source, in order.
    :param reader: Reads objects of this format.
    :param processed: The ranges that are processed.
    :raises SourceError: An object cannot be read to its end, or it changed while it was read.
    """
    for rows in read_rows(objects, reader, ProcessedRanges()):
        collector.see(rows)
        if not processed.ranges:
            yield rows
        elif rows.end > processed.resume_position:
            yield unprocessed_rows(rows, processed)
        del rows  # A long line must not stay in memory while the next one is read.
