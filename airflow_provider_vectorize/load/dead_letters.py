"""Write rejected rows to a dead-letter file: one ndjson file, complete at each checkpoint."""

from __future__ import annotations

import codecs
import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, Protocol

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.load.bodies import open_temporary_file, temporary_file_errors
from airflow_provider_vectorize.rows.block_rows import BadRow

log = logging.getLogger(__name__)

#: Bytes of a row that are formatted and written at a time.
CHUNK_BYTES = 256 << 10
#: Bytes of an existing file that are read to see which run wrote it.
_HEAD_BYTES = 16_384
#: The beginning of a dead letter that a run of a task wrote.
_RUN = re.compile(rb'\{"run": ("(?:[^"\\]|\\.)*"), ')
_COMPRESSED = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz", ".lz4", ".snappy", ".br", ".zip")


class Target(Protocol):
    """The dead-letter file in storage. Object stores cannot append, so every write replaces the whole file.

    :param uri: The file's URI, for messages.
    """

    @property
    def uri(self) -> str: ...

    def pieces(self, size: int | None = None) -> Iterator[bytes]:
        """Read the file from its beginning, up to ``size`` bytes. Yield nothing if it does not exist."""
        ...

    def write(self, content: IO[bytes]) -> None:
        """Overwrite the file atomically, even if the process is killed meanwhile."""


class DeadLetters:
    """Collect rejected rows in a temporary file, and copy it to the dead-letter file.

    Each line has these keys: ``run`` (the run of the task that wrote it, if there is one), ``object``, ``line`` (from
    1; of a part, counted from where the part begins; of Parquet, the number of the row), ``offset`` (in bytes of the
    decompressed object, also for a part; Parquet has ``row_group`` instead), ``reason`` and ``row`` (its text; bytes
    that are not UTF-8 become ``\\udcXX``, so that nothing is lost). A row that Vectorize itself refused is written as
    it was sent, possibly with its values as float32 text.

    Dead letters of another run are never overwritten. A load refuses to start if it cannot tell which run wrote the
    file.

    :param target: The dead-letter file.
    :param run: The name of the run, which is the same for all of its attempts. If it is empty, a file that is not empty
        always belongs to another run.
    :raises ConfigError: The file has the name of a compressed file.
    """

    def __init__(self, target: Target, run: str = "") -> None:
        if target.uri.lower().endswith(_COMPRESSED):
            raise ConfigError(
                f"Dead letters are written as plain text, but {target.uri} has the name of a compressed file. Give "
                "dead_letter_path another extension, such as .ndjson."
            )
        self.target = target
        self.size = 0  #: Bytes written so far.
        self._run = run
        self._hash = hashlib.sha256()
        self._file = open_temporary_file()

    @property
    def digest(self) -> str:
        """Return a digest of everything written so far."""
        return self._hash.hexdigest()

    def start(self) -> None:
        """Write an empty file, so that rows of an earlier attempt do not count as rows of this one.

        This also shows at once, and not after an hour, whether the file can be written.

        :raises ConfigError: The file is not empty, and this run did not write it.
        :raises SourceError: The file cannot be written.
        """
        self._refuse_other_runs()
        self._write(())

    def restore(self, size: int, digest: str) -> bool:
        """Continue with what an earlier attempt wrote up to its checkpoint. Later lines are removed.

        :param size: The size of the file at the checkpoint, in bytes.
        :param digest: The digest at the checkpoint, see :attr:`digest`.
        :return: Whether the file still begins with exactly these bytes.
        :raises ConfigError: The checkpoint has no dead letters, and the file holds those of another run.
        """
        if not size:
            self.start()
            return True
        content_hash = hashlib.sha256()
        with temporary_file_errors():
            self._file.seek(0)
        for chunk in self.target.pieces(size):
            content_hash.update(chunk)
            self._append(chunk)
        if content_hash.hexdigest() != digest:
            return False
        self._hash, self.size = content_hash, size
        self._write(())
        return True

    def add(self, rows: Iterable[tuple[Mapping[str, Any], BadRow]]) -> None:
        """Append rows, each with the keys that say where it is from. When this returns, they are in the file.

        :raises SourceError: The file cannot be written. None of the rows counts as written then.
        """
        self._write(chunk for place, row in rows for chunk in _format_chunks(place, row, self._run))

    def _write(self, chunks: Iterable[bytes]) -> None:
        size = self.size
        with temporary_file_errors():
            self._file.seek(size)
            self._file.truncate()  # An earlier write may have failed half-way.
        content_hash = self._hash.copy()
        buffer = bytearray()
        for chunk in chunks:
            size += len(chunk)
            content_hash.update(chunk)
            buffer += chunk
            if len(buffer) >= CHUNK_BYTES:
                self._append(buffer)
                buffer = bytearray()
        self._append(buffer)
        with temporary_file_errors():
            self._file.seek(0)
        self.target.write(self._file)
        self._hash, self.size = content_hash, size

    def _append(self, data: bytes | bytearray) -> None:
        view = memoryview(data)
        with temporary_file_errors():
            while view:
                view = view[self._file.write(view) :]

    def _refuse_other_runs(self) -> None:
        try:
            head = b"".join(self.target.pieces(_HEAD_BYTES))
        except SourceError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            # S3 also denies access to an object that does not exist, if the connection may not list the bucket.
            log.warning("Could not read %s, so any dead letters in it are overwritten. %s", self.target.uri, error)
            return
        match = _RUN.match(head)
        run = json.loads(match[1]) if match else ""
        if head and not (run and run == self._run):
            content = f"the dead letters of {run}" if run else "content that is not dead letters of this run"
            raise ConfigError(
                f"{self.target.uri} holds {content}, and this load would overwrite it. Give each run a file of its "
                "own, with {{ run_id }} in dead_letter_path (and {{ ti.map_index }} for mapped tasks), or move the "
                "file away."
            )

    def close(self) -> None:
        """Close the temporary file, which frees its disk space."""
        self._file.close()


def format_dead_letter(place: Mapping[str, Any], row: BadRow, run: str = "") -> bytes:
    """Return a row as one line of the dead-letter file."""
    return b"".join(_format_chunks(place, row, run))


def _format_chunks(place: Mapping[str, Any], row: BadRow, run: str) -> Iterator[bytes]:
    """Yield a row as one line of the file, in chunks, because as JSON a row can take six times its bytes."""
    text = row.text
    short = len(text) <= CHUNK_BYTES
    dead_letter: dict[str, Any] = {"run": run} if run else {}
    dead_letter |= {
        **place,
        "reason": row.reason,
        "row": text.decode("utf-8", "surrogateescape") if short else "",
    }
    line = json.dumps(dead_letter).encode() + b"\n"
    if short:
        yield line
        return
    ending = b'"}\n'
    yield line.removesuffix(ending)
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    for start in range(0, len(text), CHUNK_BYTES):
        decoded = decode(text[start : start + CHUNK_BYTES], final=start + CHUNK_BYTES >= len(text))
        yield json.dumps(decoded)[1:-1].encode()
    yield ending
