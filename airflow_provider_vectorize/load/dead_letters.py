"""Rows that were set aside, written down where the user says: one ndjson file, complete at each checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import IO, Protocol

from airflow_provider_vectorize.load.files import spooling, temporary_file
from airflow_provider_vectorize.load.parts import byte
from airflow_provider_vectorize.load.rows import BadRow


class Target(Protocol):
    """Where the file goes. Object stores cannot append, so it is always written whole.

    :param uri: its name, for logs.
    """

    @property
    def uri(self) -> str: ...

    def read(self) -> bytes: ...

    def write(self, content: IO[bytes]) -> None:
        """Replace it, all or nothing, whatever happens to this process meanwhile."""


class DeadLetters:
    """Collects bad rows in a temporary file and copies it to the target.

    Each line holds ``object``, ``line`` (from 1; of a part, from where it begins), ``offset`` (in bytes of the
    decompressed object, whole or not), ``reason`` and ``row`` (its text; bytes that are not UTF-8 appear as
    ``\\udcXX``, so that nothing is lost). A row that only Vectorize refused stands there as it was sent, perhaps with
    its values in float32 text.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.size = 0  #: bytes so far
        self._file = temporary_file()

    def begin(self) -> None:
        """Replace what an earlier load left, so that nobody takes its rows for this one's.

        :raises SourceError: the file cannot be written, which is better known now than after an hour.
        """
        self._write(b"")

    def restore(self, size: int) -> bool:
        """Take up what an earlier attempt wrote, as far as its checkpoint speaks for it.

        :return: whether it is still there.
        """
        content = self.target.read()
        if len(content) < size:
            return False
        self._write(content[:size])
        return True

    def add(self, rows: Iterable[tuple[str, BadRow]]) -> None:
        """Write rows down, each with its object's URI. They are safe when this returns, or it raises."""
        self._write(b"".join(dead_letter(uri, row) for uri, row in rows))

    def _write(self, lines: bytes) -> None:
        with spooling():
            self._file.seek(self.size)
            self._file.truncate()  # an earlier write may have failed half-way
            view = memoryview(lines)
            while view:
                view = view[self._file.write(view) :]
            self._file.seek(0)
        self.target.write(self._file)
        self.size += len(lines)

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()


def dead_letter(uri: str, row: BadRow) -> bytes:
    """One line of the file."""
    letter = {
        "object": uri,
        "line": row.mark.line,
        "offset": byte(uri, row.mark.offset),
        "reason": row.reason,
        "row": row.text.decode("utf-8", "surrogateescape"),
    }
    return json.dumps(letter).encode() + b"\n"
