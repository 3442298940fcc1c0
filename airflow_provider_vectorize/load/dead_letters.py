"""Rows that were set aside, written down where the user says: one ndjson file, complete at each checkpoint."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from typing import IO, Protocol

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.load.rows import BadRow


class Target(Protocol):
    """Where the file goes. Object stores cannot append, so it is always written whole.

    :param uri: its name, for logs.
    """

    @property
    def uri(self) -> str: ...

    def read(self) -> bytes: ...

    def write(self, content: IO[bytes]) -> None: ...


class DeadLetters:
    """Collects bad rows in a temporary file and copies it to the target.

    Each line holds ``object``, ``line`` (from 1), ``offset`` (in bytes, decompressed), ``reason`` and ``row``
    (its text; bytes that are not UTF-8 appear as ``\\udcXX``, so that nothing is lost).
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the load

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._file.tell()

    def restore(self, size: int) -> None:
        """Take up what an earlier attempt wrote, as far as its checkpoint speaks for it.

        :raises SourceError: the file is no longer what was written.
        """
        if not size:
            return
        content = self.target.read()[:size]
        if len(content) < size:
            raise SourceError(
                f"The dead-letter file {self.target.uri} was {size} bytes when the last attempt ended and is "
                f"{len(content)} now. Put it back, or clear the task's state to start over.",
                uri=self.target.uri,
            )
        self._file.seek(0)
        self._file.truncate()
        self._file.write(content)

    def add(self, rows: Iterable[tuple[str, BadRow]]) -> None:
        """Write rows down, each with its object's URI. They are safe when this returns."""
        lines = [dead_letter(uri, row) for uri, row in rows]
        if not lines:
            return
        self._file.writelines(lines)
        end = self._file.tell()
        self._file.seek(0)
        self.target.write(self._file)
        self._file.seek(end)

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()


def dead_letter(uri: str, row: BadRow) -> bytes:
    """One line of the file."""
    letter = {
        "object": uri,
        "line": row.mark.line,
        "offset": row.mark.offset,
        "reason": row.reason,
        "row": row.text.decode("utf-8", "surrogateescape"),
    }
    return json.dumps(letter).encode() + b"\n"
