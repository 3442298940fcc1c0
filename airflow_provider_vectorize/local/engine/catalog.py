# ruff: noqa: S608 - the SQL is built from constants of this file only
"""Catalog: the list of indexes, and the log of mutations that are acknowledged but not folded yet.

Both are in one SQLite database. A mutation is synced to disk before its id is returned.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.local.engine.clock import Clock
from airflow_provider_vectorize.local.engine.problems import DuplicateName, IndexDeleted, IndexNotFound
from airflow_provider_vectorize.local.engine.records import Index, Kind, Mutation, NewIndex, Vector

SCHEMA = """
CREATE TABLE IF NOT EXISTS "index" (
  key INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
  dimensions INTEGER NOT NULL, metric TEXT NOT NULL, created_on REAL NOT NULL, modified_on REAL NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS index_name ON "index" (account, name);
CREATE TABLE IF NOT EXISTS mutation (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, index_key INTEGER NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
  accepted_at REAL NOT NULL, vectors INTEGER NOT NULL, argument TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS mutation_index ON mutation (index_key, seq);
CREATE TABLE IF NOT EXISTS logged (
  row INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL, id TEXT NOT NULL, namespace TEXT,
  metadata BLOB, "values" BLOB);
CREATE INDEX IF NOT EXISTS logged_seq ON logged (seq);
"""
COLUMNS = "key, account, name, description, dimensions, metric, created_on, modified_on, deleted"
NEWEST = f'SELECT {COLUMNS} FROM "index" WHERE account = ? AND name = ? ORDER BY key DESC LIMIT 1'
UP_TO = "SELECT seq FROM mutation WHERE index_key = ? AND seq <= ?"
VECTORS_PER_DELETE = 5_000
MUTATION_COLUMNS = "seq, index_key, id, kind, accepted_at, vectors, argument"


Connect = Callable[[Path], sqlite3.Connection]


def connect(path: Path, *, sync: bool = True) -> sqlite3.Connection:
    """Open a connection whose commits survive a crash of the process and, with ``sync``, of the machine."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
    # A row holds a vector of up to 6 KB. Large pages avoid overflow pages.
    connection.execute("PRAGMA page_size = 32768")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'OFF'}")
    connection.execute("PRAGMA journal_size_limit = 67108864")  # Otherwise a batch of 600 MB leaves a log of 600 MB.
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    # BEGIN IMMEDIATE would also lock the attached databases for writing.
    connection.execute("BEGIN")
    try:
        yield connection
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _index(row: tuple[Any, ...]) -> Index:
    return Index(*row)


class Catalog:
    """Stores indexes and pending mutations. Thread-safe. A change is on disk before its method returns."""

    def __init__(self, path: Path, clock: Clock, connect: Connect) -> None:
        self.path = path
        self._clock = clock
        self._connection = connect(path)
        self._lock = threading.Lock()
        self._connection.executescript(SCHEMA)
        # Reads have their own connection, so that they do not wait for a write of 15 MB.
        self._reader = connect(path)
        self._read_lock = threading.Lock()

    def close(self) -> None:
        with self._lock, self._read_lock:
            self._reader.close()
            self._connection.close()

    def _read(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._read_lock:
            return self._reader.execute(sql, values).fetchall()

    # Indexes

    def indexes(self, account: str | None = None) -> list[Index]:
        """Return the existing indexes of one account or of all accounts, oldest first."""
        rows = self._read(
            f'SELECT {COLUMNS} FROM "index" WHERE NOT deleted AND (?1 IS NULL OR account = ?1) ORDER BY key', (account,)
        )
        return [_index(row) for row in rows]

    def index(self, account: str, name: str) -> Index:
        """Return the newest index with a name.

        :raises IndexNotFound: No index ever had this name.
        :raises IndexDeleted: The newest index with this name was deleted.
        """
        rows = self._read(NEWEST, (account, name))
        if not rows:
            raise IndexNotFound(name)
        index = _index(rows[0])
        if index.deleted:
            raise IndexDeleted(name)
        return index

    def last_key(self) -> int:
        """Return the largest key that an index ever had."""
        rows = self._read("SELECT seq FROM sqlite_sequence WHERE name = 'index'")
        return int(rows[0][0]) if rows else 0

    def create_index(self, account: str, new: NewIndex) -> Index:
        now = self._clock.now()
        with self._lock, transaction(self._connection) as connection:
            row = connection.execute(NEWEST, (account, new.name)).fetchone()
            if row is not None and not _index(row).deleted:
                raise DuplicateName(new.name)
            key = connection.execute(
                'INSERT INTO "index" (account, name, description, dimensions, metric, created_on, modified_on)'
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (account, new.name, new.description, new.dimensions, new.metric, now, now),
            ).lastrowid
        assert key is not None
        return Index(key, account, new.name, new.description, new.dimensions, new.metric, now, now, False)

    def delete_index(self, index: Index) -> None:
        """Mark the index as deleted and delete its pending mutations."""
        with self._lock, transaction(self._connection) as connection:
            connection.execute(
                'UPDATE "index" SET deleted = 1, modified_on = ? WHERE key = ?', (self._clock.now(), index.key)
            )
            connection.execute(
                "DELETE FROM logged WHERE seq IN (SELECT seq FROM mutation WHERE index_key = ?)", (index.key,)
            )
            connection.execute("DELETE FROM mutation WHERE index_key = ?", (index.key,))

    # The log

    def log(self, index: Index, kind: Kind, vectors: Sequence[Vector] = (), argument: str = "") -> Mutation:
        """Log a mutation. Once this returns, the mutation will be folded even if the process crashes."""
        mutation_id = str(uuid.uuid4())
        with self._lock, transaction(self._connection) as connection:
            # The time is read under the lock, so that times and sequence numbers have the same order.
            now = self._clock.now()
            if (
                connection.execute('SELECT 1 FROM "index" WHERE key = ? AND NOT deleted', (index.key,)).fetchone()
                is None
            ):
                raise IndexDeleted(index.name)
            seq = connection.execute(
                "INSERT INTO mutation (index_key, id, kind, accepted_at, vectors, argument) VALUES (?, ?, ?, ?, ?, ?)",
                (index.key, mutation_id, kind, now, len(vectors), argument),
            ).lastrowid
            assert seq is not None
            connection.executemany(
                'INSERT INTO logged (seq, id, namespace, metadata, "values") VALUES (?, ?, ?, ?, ?)',
                ((seq, *vector) for vector in vectors),
            )
        return Mutation(seq, index.key, mutation_id, kind, now, len(vectors), argument)

    def pending(self, index_key: int, mutations: int, vectors: int) -> list[Mutation]:
        """Return the mutations of the next batch of an index, oldest first.

        :param mutations: Maximum number of mutations.
        :param vectors: Maximum number of vectors. A single mutation may exceed it.
        """
        rows = self._read(
            f"SELECT {MUTATION_COLUMNS} FROM mutation WHERE index_key = ? ORDER BY seq LIMIT ?", (index_key, mutations)
        )
        batch: list[Mutation] = []
        total = 0
        for seq, key, mutation_id, kind, accepted_at, count, argument in rows:
            total += count
            if batch and total > vectors:
                break
            batch.append(Mutation(seq, key, mutation_id, Kind(kind), accepted_at, count, argument))
        return batch

    def oldest_pending(self) -> tuple[int, float] | None:
        """Return the index key and the acceptance time of the oldest pending mutation."""
        rows = self._read("SELECT index_key, accepted_at FROM mutation ORDER BY seq LIMIT 1")
        return (int(rows[0][0]), float(rows[0][1])) if rows else None

    def pending_counts(self) -> dict[int, int]:
        """Return the number of pending mutations by index key. Indexes without pending mutations are omitted."""
        return dict(self._read("SELECT index_key, COUNT(*) FROM mutation GROUP BY index_key"))

    def last_seq(self) -> int:
        rows = self._read("SELECT seq FROM sqlite_sequence WHERE name = 'mutation'")
        return int(rows[0][0]) if rows else 0

    def discard_log(self, index_key: int, seq: int) -> None:
        """Delete the mutations of an index up to ``seq`` from the log. The index has stored their effect durably."""
        rows = self._read(
            "SELECT seq, vectors FROM mutation WHERE index_key = ? AND seq <= ? ORDER BY seq", (index_key, seq)
        )
        count = 0
        for last, vectors in rows:
            count += vectors
            # Several small transactions, so that writers do not wait until 200,000 vectors are deleted.
            if count >= VECTORS_PER_DELETE or last == rows[-1][0]:
                count = 0
                with self._lock, transaction(self._connection) as connection:
                    connection.execute(f"DELETE FROM logged WHERE seq IN ({UP_TO})", (index_key, last))
                    connection.execute(f"DELETE FROM mutation WHERE seq IN ({UP_TO})", (index_key, last))

    def delete_everything(self) -> None:
        """Delete all indexes and mutations. Keys and sequence numbers are not reused."""
        with self._lock, transaction(self._connection) as connection:
            for table in ('"index"', "mutation", "logged"):
                connection.execute(f"DELETE FROM {table}")
