"""Verify the promise of a sync after each night, and after each attempt that it sends nothing for a second time."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from functools import cache

from airflow_provider_vectorize.local.handle import LocalVectorize, RecordedRequest
from airflow_provider_vectorize.rows.hashing import UNKNOWN
from airflow_provider_vectorize.sync.columns import read_columns
from airflow_provider_vectorize.sync.state import read_state
from tests.storm.verification import WrongError
from tests.support import expected_dump
from tests.sync.sources import ModelRow, Source, truth_of
from tests.sync.support import MemoryFolder


class Verification:
    """Compares an index with the sources of a sync.

    :param local: The local Vectorize.
    :param index: Name of the index.
    """

    def __init__(self, local: LocalVectorize, index: str) -> None:
        self._local = local
        self._index = index
        self.foreign: dict[str, str] = {}  #: Digest of each vector of other writers.
        self._history: defaultdict[str, set[str]] = defaultdict(set)  # Digests that each ID ever had in the source.
        self._kept: set[str] = set()  # IDs that the index must keep during the night, because no source lacks them.
        self._generation = 0
        self._committed: dict[str, str] = {}  # Digest of each vector whose content the committed state knows.
        self._may_be_sent: set[str] = set()  # IDs whose row differed since the commit in some attempt.
        self._sequence = 0  # The last write that was looked at.

    def begin_night(self) -> None:
        """Remember what has to be in the index as long as the source has it."""
        self._kept = set(self._committed)

    def begin_attempt(self, source: Source) -> None:
        """Note what an attempt may send: rows that differ from those of the committed state."""
        truth, digests = truth_of(source), digests_of(source)
        self._kept &= truth.present
        self._may_be_sent |= truth.repeated | (set(self._committed) - truth.present)
        self._may_be_sent |= {name for name, digest in digests.items() if self._committed.get(name) != digest}
        for name in source:
            for row in source[name]:
                if row.kind == "good":
                    self._history[row.id].add(digest_of(row))

    def end_attempt(self, state: Mapping[str, bytes]) -> int:
        """Check what an attempt has written. Return the number of vectors.

        :param state: Content of the objects in the state's folder.
        :raises WrongError: It wrote a vector that is in a committed generation and did not change since, or a hash of
            the state is ahead of the index.
        """
        self._local.process()
        written = self._written()
        unneeded = set(written) - self._may_be_sent - set(self.foreign)
        if unneeded:
            raise WrongError(f"sent again although a committed generation knows them: {sorted(unneeded)[:5]}")
        self._read_state(state)
        return len(written)

    def _written(self) -> list[str]:
        """Return the IDs of the vectors written since the last call, from the files of the local Vectorize."""
        (path,) = self._local.data_dir.glob("index-*.sqlite3")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT id, seq FROM vector WHERE seq > ?", (self._sequence,)).fetchall()
        self._sequence = max([self._sequence, *(sequence for _, sequence in rows)])
        return [vector_id for vector_id, _ in rows]

    def _read_state(self, content: Mapping[str, bytes]) -> None:
        folder = MemoryFolder()
        folder.content = dict(content)
        state = read_state(folder)
        if state is None or state.generation.number == self._generation:
            return
        self._generation = state.generation.number
        index = self._local.dump(self._index)
        known: set[str] = set()
        for batch in read_columns(folder, state.columns):
            ids, hashes = batch.column("id").to_pylist(), batch.column("hash").to_pylist()
            known |= {vector_id for vector_id, content in zip(ids, hashes, strict=True) if content != UNKNOWN}
        ahead = known - set(index)
        if ahead:
            raise WrongError(f"the state has hashes of vectors that are not in the index: {sorted(ahead)[:5]}")
        self._committed = {vector_id: index[vector_id] for vector_id in known}
        self._may_be_sent = set()

    def check_index(self, source: Source, *, deletes: bool) -> int:
        """Compare the index with the source. Return the number of vectors.

        :param deletes: Whether vectors that left the source have to be gone.
        :raises WrongError: A vector is lost, wrong or left over, or a vector of another writer was touched.
        """
        self._local.process()
        index, truth, expected = self._local.dump(self._index), truth_of(source), digests_of(source)
        problems = {
            "lost": expected.keys() - index.keys(),
            "wrong": {name for name in expected.keys() & index.keys() if expected[name] != index[name]},
            "foreign vectors touched": {name for name, digest in self.foreign.items() if index.get(name) != digest},
            "lost because of a bad row": self._kept - index.keys(),
            "never in the source": {
                name for name in index.keys() - self.foreign.keys() if index[name] not in self._history[name]
            },
            "left over": index.keys() - truth.present - self.foreign.keys() if deletes else set(),
        }
        if wrong := {problem: sorted(names)[:5] for problem, names in problems.items() if names}:
            raise WrongError(f"{wrong}")
        return len(expected)

    @staticmethod
    def check_nothing_sent(requests: list[RecordedRequest], source: Source) -> None:
        """Check that a night without changes has sent nothing.

        :raises WrongError: It has.
        """
        upserts = [request for request in requests if request.operation == "upsert"]
        if upserts and not truth_of(source).repeated:
            raise WrongError(f"{len(upserts)} upserts in a night without changes")


@cache
def digest_of(row: ModelRow) -> str:
    """Return the digest of a good row, as the index shows it."""
    return expected_dump([json.loads(row.line())])[row.id]


def digests_of(source: Source) -> dict[str, str]:
    """Return the digest of each ID with a good row. The last one wins."""
    return {name: digest_of(ModelRow("good", name, content)) for name, content in truth_of(source).good.items()}
