# ruff: noqa: S608 - the SQL is built from constants of this file only
"""Folded state of one index, from which reads are answered.

Each index has its own SQLite database. Batches are numbered from 1. A row records the batch that added it (``born``)
and the batch that removed it (``died``). Each read is "as of" a batch. This gives listings a consistent snapshot, and
allows a fault to answer from an earlier batch.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.local.engine.catalog import Connect, transaction
from airflow_provider_vectorize.local.engine.problems import IndexDeleted
from airflow_provider_vectorize.local.engine.records import Kind, MetadataIndex, Mutation, StoredVector

SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
  number INTEGER PRIMARY KEY, mutation_id TEXT NOT NULL, processed_at REAL NOT NULL, vectors INTEGER NOT NULL,
  seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS vector (
  row INTEGER PRIMARY KEY, id TEXT NOT NULL, namespace TEXT, born INTEGER NOT NULL, died INTEGER,
  seq INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS vector_id ON vector (id, died, born);
CREATE INDEX IF NOT EXISTS vector_died ON vector (died) WHERE died IS NOT NULL;
CREATE TABLE IF NOT EXISTS content (row INTEGER PRIMARY KEY, metadata BLOB, "values" BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS namespace (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS metadata_index (
  name TEXT NOT NULL, type TEXT NOT NULL, since INTEGER NOT NULL, born INTEGER NOT NULL, died INTEGER);
"""
VECTOR = 'row, id, namespace, metadata, "values", seq'
ALIVE = "born <= :at AND (died IS NULL OR died > :at)"
# The golden ratio of 2**32 spreads consecutive rows evenly.
ROW_HASH_FACTOR, ROW_HASHES = 2_654_435_761, 4_294_967_296
# Rows of the store that have the ids of a mutation.
TOUCHED = (
    "SELECT vector.row FROM log.logged CROSS JOIN vector ON vector.id = logged.id AND vector.died IS NULL"
    " WHERE logged.seq = :seq"
)
# CROSS JOIN makes SQLite start from the few ids of the mutation, not from the many rows of the store.


class Store:
    """The folded vectors of one index. Reads are thread-safe. Only one thread at a time may fold."""

    def __init__(self, path: Path, catalog: Path, name: str, connect: Connect) -> None:
        self._path = path
        self._connect = connect
        self._name = name
        self._closed = False
        self._writer = connect(path)
        self._writer.executescript(SCHEMA)
        self._writer.execute("ATTACH ? AS log", (str(catalog),))
        self._reader = connect(path)
        self._lock = threading.Lock()
        self.last_batch: int = self._read("SELECT COALESCE(MAX(number), 0) FROM batch")[0][0]
        """The newest batch in the database."""

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._reader.close()
            self._writer.close()

    def _read(self, sql: str, values: Sequence[object] | dict[str, object] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            if self._closed:  # The index was deleted after this read had started.
                raise IndexDeleted(self._name)
            return self._reader.execute(sql, values).fetchall()

    # Reading, as of a batch

    def watermark(self, at: int) -> tuple[str, float, int] | None:
        """Return the mutation id, time and vector count of a batch, or None for batch 0 (a new index)."""
        rows = self._read("SELECT mutation_id, processed_at, vectors FROM batch WHERE number = ?", (at,))
        return None if not rows else (str(rows[0][0]), float(rows[0][1]), int(rows[0][2]))

    def folded_seq(self) -> int:
        return int(self._read("SELECT COALESCE(MAX(seq), 0) FROM batch")[0][0])

    def metadata_indexes(self, at: int) -> list[MetadataIndex]:
        rows = self._read(f"SELECT name, type, since FROM metadata_index WHERE {ALIVE} ORDER BY rowid", {"at": at})
        return [MetadataIndex(*row) for row in rows]

    def namespaces(self) -> set[str]:
        """Return every namespace that was ever used."""
        return {row[0] for row in self._read("SELECT name FROM namespace")}

    def vectors_by_id(self, ids: Sequence[str], at: int) -> list[StoredVector]:
        """Return the existing vectors in the order of the ids."""
        vectors: list[StoredVector] = []
        for vector_id in ids:
            vectors += self._vectors(f"vector.id = :id AND {ALIVE}", {"id": vector_id, "at": at})
        return vectors

    def vectors_by_row(self, rows: Sequence[int]) -> dict[int, StoredVector]:
        return {row: vector for row in rows for vector in self._vectors("vector.row = :row", {"row": row})}

    def _vectors(self, where: str, values: dict[str, object]) -> list[StoredVector]:
        rows = self._read(f"SELECT {VECTOR} FROM vector JOIN content USING (row) WHERE {where}", values)
        return [StoredVector(*row) for row in rows]

    def ids_after(self, after: str, count: int, at: int) -> list[str]:
        """Return the next ids in byte order."""
        rows = self._read(
            f"SELECT id FROM vector WHERE id > :after AND {ALIVE} ORDER BY id LIMIT :count",
            {"after": after, "count": count, "at": at},
        )
        return [row[0] for row in rows]

    def all_vectors(self, at: int, since: int = 0) -> Iterator[StoredVector]:
        """Yield all vectors as of batch ``at``. With ``since``, yield only vectors that were added after that batch."""
        return self._scan(f"born > :since AND {ALIVE}", {"at": at, "since": since})

    def sample(self, count: int, at: int) -> list[StoredVector]:
        """Return up to ``count`` vectors as of a batch, spread over all of them.

        The order is that of a hash of the row, so that two batches with many common vectors have similar samples.
        """
        rows = (
            f"SELECT row FROM vector WHERE {ALIVE} ORDER BY (row * {ROW_HASH_FACTOR}) % {ROW_HASHES}, row LIMIT :count"
        )
        return list(self._scan(f"row IN ({rows})", {"at": at, "count": count}))

    def _scan(self, where: str, values: dict[str, object]) -> Iterator[StoredVector]:
        with self._lock:
            if self._closed:
                raise IndexDeleted(self._name)
            # A separate connection, because this read can take long.
            connection = self._connect(self._path)
        try:
            rows = connection.execute(
                f"SELECT {VECTOR} FROM vector JOIN content USING (row) WHERE {where} ORDER BY row", values
            )
            yield from map(StoredVector._make, rows)
        finally:
            connection.close()

    def removed_rows(self, batch: int) -> list[int]:
        """Return the rows that a batch removed."""
        return [row[0] for row in self._read("SELECT row FROM vector WHERE died = ?", (batch,))]

    # Folding

    def fold(self, mutations: Sequence[Mutation], now: Callable[[], float], last_seq: Callable[[], int]) -> float:
        """Apply mutations in order as one batch, in one transaction. Return the time of the batch."""
        if self._closed:
            raise IndexDeleted(self._name)
        number = self.last_batch + 1
        with transaction(self._writer) as connection:
            total = connection.execute("SELECT vectors FROM batch ORDER BY number DESC LIMIT 1").fetchone()
            count = total[0] if total else 0
            for mutation in mutations:
                count += self._apply(connection, mutation, number)
            connection.execute(
                "UPDATE metadata_index SET since = ? WHERE born = ? AND died IS NULL", (last_seq(), number)
            )
            processed_at = now()
            connection.execute(
                "INSERT INTO batch VALUES (?, ?, ?, ?, ?)",
                (number, mutations[-1].id, processed_at, count, mutations[-1].seq),
            )
        self.last_batch = number
        return processed_at

    def _apply(self, connection: sqlite3.Connection, mutation: Mutation, batch: int) -> int:
        """Apply one mutation. Return the change of the number of vectors."""
        name, _, type_ = mutation.argument.partition("\n")
        values: dict[str, Any] = {"seq": mutation.seq, "batch": batch, "name": name, "type": type_}
        match mutation.kind:
            case Kind.UPSERT:
                removed = self._remove(connection, values)
                return self._add(connection, values, "TRUE") - removed
            case Kind.INSERT:
                return self._add(
                    connection, values, "NOT EXISTS (SELECT 1 FROM vector v WHERE v.id = logged.id AND v.died IS NULL)"
                )
            case Kind.DELETE:
                return -self._remove(connection, values)
            case Kind.CREATE_METADATA_INDEX:
                connection.execute(
                    "INSERT INTO metadata_index (name, type, since, born) SELECT :name, :type, 0, :batch WHERE NOT"
                    " EXISTS (SELECT 1 FROM metadata_index WHERE name = :name AND died IS NULL)",
                    values,
                )
            case Kind.DELETE_METADATA_INDEX:
                connection.execute(
                    "UPDATE metadata_index SET died = :batch WHERE name = :name AND died IS NULL", values
                )
            case Kind.FOREIGN:
                pass
        return 0

    def _remove(self, connection: sqlite3.Connection, values: dict[str, Any]) -> int:
        # A row that one batch adds and removes was never visible, so it is deleted at once.
        connection.execute(f"DELETE FROM content WHERE row IN ({TOUCHED} AND vector.born = :batch)", values)
        invisible = connection.execute(f"DELETE FROM vector WHERE row IN ({TOUCHED} AND vector.born = :batch)", values)
        visible = connection.execute(f"UPDATE vector SET died = :batch WHERE row IN ({TOUCHED})", values)
        return invisible.rowcount + visible.rowcount

    def _add(self, connection: sqlite3.Connection, values: dict[str, Any], where: str) -> int:
        added = connection.execute(
            "INSERT INTO vector (row, id, namespace, born, seq) SELECT row, id, namespace, :batch, seq"
            f" FROM log.logged WHERE seq = :seq AND {where} ORDER BY row",
            values,
        )
        connection.execute(
            "INSERT OR IGNORE INTO namespace SELECT namespace FROM log.logged"
            " WHERE seq = :seq AND namespace IS NOT NULL",
            values,
        )
        connection.execute(
            'INSERT INTO content SELECT logged.row, metadata, "values" FROM log.logged JOIN vector USING (row)'
            " WHERE logged.seq = :seq",
            values,
        )
        return added.rowcount

    def collect_garbage(self, before: float) -> None:
        """Delete rows that no read can request: removed before the last batch and before the time ``before``."""
        with transaction(self._writer) as connection:
            row = connection.execute(
                "SELECT MAX(number) FROM batch WHERE number < ? AND processed_at < ?", (self.last_batch, before)
            ).fetchone()
            if row[0] is not None:
                connection.execute("DELETE FROM content WHERE row IN (SELECT row FROM vector WHERE died <= ?)", row)
                connection.execute("DELETE FROM vector WHERE died <= ?", row)
