"""Values of Workers KV, in a SQLite database of their own."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from airflow_provider_vectorize.local.engine.catalog import Connect
from airflow_provider_vectorize.local.engine.problems import KvKeyNotFound

SCHEMA = """
CREATE TABLE IF NOT EXISTS value (
  account TEXT NOT NULL, namespace TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (account, namespace, key));
"""


class KeyValues:
    """Stores the values. Thread-safe. A value is on disk before :meth:`write` returns."""

    def __init__(self, path: Path, connect: Connect) -> None:
        self._connection: sqlite3.Connection = connect(path)
        self._connection.executescript(SCHEMA)
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def read(self, account: str, namespace: str, key: str) -> bytes:
        """Return a value.

        :raises KvKeyNotFound: The namespace has no such key.
        """
        with self._lock:
            row = self._connection.execute(
                "SELECT value FROM value WHERE account = ? AND namespace = ? AND key = ?", (account, namespace, key)
            ).fetchone()
        if row is None:
            raise KvKeyNotFound
        return bytes(row[0])

    def write(self, account: str, namespace: str, key: str, value: bytes) -> None:
        """Create or replace a value."""
        with self._lock:  # Each statement is a transaction.
            self._connection.execute(
                "INSERT OR REPLACE INTO value (account, namespace, key, value) VALUES (?, ?, ?, ?)",
                (account, namespace, key, value),
            )

    def delete_everything(self) -> None:
        with self._lock:
            self._connection.execute("DELETE FROM value")
