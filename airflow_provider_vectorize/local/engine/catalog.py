# ruff: noqa: S608 - the SQL is put together from constants of this file only
"""The catalog: which indexes exist, and the log of mutations that are acknowledged but not folded yet.

One SQLite database. A mutation is in it, synced to disk, before its id is handed out.
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
FORGET_AT_ONCE = 5_000
MUTATION_COLUMNS = "seq, index_key, id, kind, accepted_at, vectors, argument"


Connect = Callable[[Path], sqlite3.Connection]


def connect(path: Path, *, sync: bool = True) -> sqlite3.Connection:
    """A connection whose commits survive a crash of the process and, with ``sync``, of the machine."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
    # Rows hold a vector of up to 6 KB: larger pages keep them out of overflow chains.
    connection.execute("PRAGMA page_size = 32768")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'OFF'}")
    connection.execute("PRAGMA journal_size_limit = 67108864")  # a batch of 600 MB would leave as much behind
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    # Deferred, not immediate: immediate would also take the write lock of attached databases.
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
    """Thread-safe. Every method that changes something returns only after the change is on disk."""

    def __init__(self, path: Path, clock: Clock, connect: Connect) -> None:
        self.path = path
        self._clock = clock
        self._connection = connect(path)
        self._lock = threading.Lock()
        self._connection.executescript(SCHEMA)
        # Reads have their own connection: they must not queue behind a write of 15 MB.
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
        """The living ones, oldest first."""
        rows = self._read(
            f'SELECT {COLUMNS} FROM "index" WHERE NOT deleted AND (?1 IS NULL OR account = ?1) ORDER BY key', (account,)
        )
        return [_index(row) for row in rows]

    def index(self, account: str, name: str) -> Index:
        """Raises IndexNotFound, or IndexDeleted when the last one of that name was deleted."""
        rows = self._read(NEWEST, (account, name))
        if not rows:
            raise IndexNotFound(name)
        index = _index(rows[0])
        if index.deleted:
            raise IndexDeleted(name)
        return index

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
        """Forgets the index and all that is logged for it."""
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
        """Acknowledges a write: when this returns, it will be folded, whatever happens to this process."""
        mutation_id = str(uuid.uuid4())
        with self._lock, transaction(self._connection) as connection:
            # Under the lock, so that times and sequence numbers have the same order.
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
        """What the next batch of an index takes: the oldest mutations, as many as both caps let in."""
        rows = self._read(
            f"SELECT {MUTATION_COLUMNS} FROM mutation WHERE index_key = ? ORDER BY seq LIMIT ?", (index_key, mutations)
        )
        taken: list[Mutation] = []
        total = 0
        for seq, key, mutation_id, kind, accepted_at, count, argument in rows:
            total += count
            if taken and total > vectors:
                break
            taken.append(Mutation(seq, key, mutation_id, Kind(kind), accepted_at, count, argument))
        return taken

    def oldest(self) -> tuple[int, float] | None:
        """The index of the oldest pending mutation, and when that was accepted."""
        rows = self._read("SELECT index_key, accepted_at FROM mutation ORDER BY seq LIMIT 1")
        return (int(rows[0][0]), float(rows[0][1])) if rows else None

    def backlog(self) -> dict[int, int]:
        """How many mutations are pending for each index that has any."""
        return dict(self._read("SELECT index_key, COUNT(*) FROM mutation GROUP BY index_key"))

    def last_seq(self) -> int:
        rows = self._read("SELECT seq FROM sqlite_sequence WHERE name = 'mutation'")
        return int(rows[0][0]) if rows else 0

    def forget(self, index_key: int, seq: int) -> None:
        """Drops the log of an index up to ``seq``, which the index itself holds durably by now."""
        rows = self._read(
            "SELECT seq, vectors FROM mutation WHERE index_key = ? AND seq <= ? ORDER BY seq", (index_key, seq)
        )
        count = 0
        for upto, vectors in rows:
            count += vectors
            # Bit by bit: writers must not wait until 200,000 vectors are deleted.
            if count >= FORGET_AT_ONCE or upto == rows[-1][0]:
                count = 0
                with self._lock, transaction(self._connection) as connection:
                    connection.execute(f"DELETE FROM logged WHERE seq IN ({UP_TO})", (index_key, upto))
                    connection.execute(f"DELETE FROM mutation WHERE seq IN ({UP_TO})", (index_key, upto))

    def wipe(self) -> None:
        """Forgets everything. Keys and sequence numbers go on counting."""
        with self._lock, transaction(self._connection) as connection:
            for table in ('"index"', "mutation", "logged"):
                connection.execute(f"DELETE FROM {table}")
