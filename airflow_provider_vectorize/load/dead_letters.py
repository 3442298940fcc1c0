"""Rows that were set aside, written down where the user says: one ndjson file, complete at each checkpoint."""

from __future__ import annotations

import codecs
import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any, Protocol

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.load.bodies import spooling, temporary_file
from airflow_provider_vectorize.rows.block_rows import BadRow
from airflow_provider_vectorize.sources.parts import object_offset

log = logging.getLogger(__name__)

#: Bytes of a row that are written at a time.
PIECE_BYTES = 256 << 10
#: Bytes of an existing file that are read to see which run wrote it.
_HEAD_BYTES = 16_384
#: The first key of a letter that a run of a task wrote.
_RUN = re.compile(rb'\{"run": ("(?:[^"\\]|\\.)*"), ')
_COMPRESSED = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz", ".lz4", ".snappy", ".br", ".zip")


class Target(Protocol):
    """Where the file goes. Object stores cannot append, so it is always written whole.

    :param uri: its name, for logs.
    """

    @property
    def uri(self) -> str: ...

    def pieces(self, size: int | None = None) -> Iterator[bytes]:
        """Read it from the beginning, up to ``size`` bytes; nothing if it does not exist."""
        ...

    def write(self, content: IO[bytes]) -> None:
        """Replace it, all or nothing, whatever happens to this process meanwhile."""


class DeadLetters:
    """Collects bad rows in a temporary file and copies it to the target.

    Each line holds ``run`` (the run of a task that wrote it, where there is one), ``object``, ``line`` (from 1; of a
    part, from where it begins), ``offset`` (in bytes of the decompressed object, whole or not), ``reason`` and ``row``
    (its text; bytes that are not UTF-8 appear as ``\\udcXX``, so that nothing is lost). A row that only Vectorize
    refused stands there as it was sent, perhaps with its values in float32 text.

    Letters of another run are never replaced: a load that cannot know whose letters a file holds refuses to start.

    :param target: the file.
    :param run: names the run whose letters these are, the same for each of its attempts. Empty: there is no run, and
        every file that is not empty is another's.
    :raises ConfigError: the file's name promises compressed text.
    """

    def __init__(self, target: Target, run: str = "") -> None:
        if target.uri.lower().endswith(_COMPRESSED):
            raise ConfigError(
                f"Dead letters are written as plain text, and {target.uri} is named like a compressed file: give "
                "dead_letter_path another ending, such as .ndjson."
            )
        self.target = target
        self.size = 0  #: bytes so far
        self._run = run
        self._hash = hashlib.sha256()
        self._file = temporary_file()

    @property
    def digest(self) -> str:
        """Identifies the letters so far."""
        return self._hash.hexdigest()

    def begin(self) -> None:
        """Write an empty file, so that rows of an earlier attempt are not taken for rows of this one.

        :raises ConfigError: the file holds something else than letters of this run.
        :raises SourceError: the file cannot be written, which is better known now than after an hour.
        """
        self._refuse_other_runs()
        self._write(())

    def restore(self, size: int, digest: str) -> bool:
        """Take up what an earlier attempt wrote, as far as its checkpoint speaks for it.

        :param size: bytes of its letters.
        :param digest: theirs, see :attr:`digest`.
        :return: whether they are still there, unchanged.
        :raises ConfigError: the checkpoint speaks of no letters, and the file holds those of another run.
        """
        if not size:
            self.begin()
            return True
        hashed = hashlib.sha256()
        with spooling():
            self._file.seek(0)
        for piece in self.target.pieces(size):
            hashed.update(piece)
            self._append(piece)
        if hashed.hexdigest() != digest:
            return False
        self._hash, self.size = hashed, size
        self._write(())
        return True

    def add(self, rows: Iterable[tuple[str, BadRow]]) -> None:
        """Write rows down, each with its object's URI. They are safe when this returns, or it raises."""
        self._write(piece for uri, row in rows for piece in _pieces(uri, row, self._run))

    def _write(self, pieces: Iterable[bytes]) -> None:
        size = self.size
        with spooling():
            self._file.seek(size)
            self._file.truncate()  # an earlier write may have failed half-way
        hashed = self._hash.copy()
        waiting = bytearray()
        for piece in pieces:
            size += len(piece)
            hashed.update(piece)
            waiting += piece
            if len(waiting) >= PIECE_BYTES:
                self._append(waiting)
                waiting = bytearray()
        self._append(waiting)
        with spooling():
            self._file.seek(0)
        self.target.write(self._file)
        self._hash, self.size = hashed, size

    def _append(self, data: bytes | bytearray) -> None:
        view = memoryview(data)
        with spooling():
            while view:
                view = view[self._file.write(view) :]

    def _refuse_other_runs(self) -> None:
        try:
            head = b"".join(self.target.pieces(_HEAD_BYTES))
        except SourceError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            # S3 answers like this for an object that does not exist if nobody may list the bucket.
            log.warning("%s cannot be read, so any letters in it are replaced. %s", self.target.uri, error)
            return
        found = _RUN.match(head)
        run = json.loads(found[1]) if found else ""
        if head and not (run and run == self._run):
            whose = f"the dead letters of {run}" if run else "something else than dead letters of this run"
            raise ConfigError(
                f"{self.target.uri} holds {whose}, and this load would replace it. Give each run a file of its own, "
                "with {{ run_id }} in dead_letter_path (and {{ ti.map_index }} for mapped tasks), or move the file "
                "away."
            )

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()


def dead_letter(uri: str, row: BadRow, run: str = "") -> bytes:
    """One line of the file."""
    return b"".join(_pieces(uri, row, run))


def _pieces(uri: str, row: BadRow, run: str) -> Iterator[bytes]:
    """One line of the file, in pieces: as JSON a row can take six times its bytes."""
    text = row.text
    short = len(text) <= PIECE_BYTES
    letter: dict[str, Any] = {"run": run} if run else {}
    letter |= {
        "object": uri,
        "line": row.position.line,
        "offset": object_offset(uri, row.position.offset),
        "reason": row.reason,
        "row": text.decode("utf-8", "surrogateescape") if short else "",
    }
    line = json.dumps(letter).encode() + b"\n"
    if short:
        yield line
        return
    end = b'"}\n'
    yield line.removesuffix(end)
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    for at in range(0, len(text), PIECE_BYTES):
        piece = decode(text[at : at + PIECE_BYTES], final=at + PIECE_BYTES >= len(text))
        yield json.dumps(piece)[1:-1].encode()
    yield end
