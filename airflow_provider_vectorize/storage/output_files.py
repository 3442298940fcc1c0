"""Files that a task writes to storage: the dead letters of a load, what a load collects for checks, and reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, cast

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.sources.compression import error_reason
from airflow_provider_vectorize.storage.connections import open_store
from airflow_provider_vectorize.storage.containment import in_same_bucket, is_below, real_key
from airflow_provider_vectorize.storage.errors import raise_storage_errors
from airflow_provider_vectorize.storage.globs import compile_pattern
from airflow_provider_vectorize.storage.names import Location, parse
from airflow_provider_vectorize.storage.objects import StoredObject
from airflow_provider_vectorize.storage.replace_file import regular_file, replace_file, same_file
from airflow_provider_vectorize.storage.store import ObjectStore
from airflow_provider_vectorize.storage.streams import ObjectStream, UnclosableFile

#: Bytes read at a time.
_PIECE_BYTES = 1 << 20


class OutputFile:
    """A file in storage that a task writes as a whole.

    :param uri: Name of the file. It is always read as exactly this key, never as a pattern, version or part.
    :param conn_id: Storage connection. A connection in the name takes precedence.
    """

    #: What the file is, for messages.
    kind = "file"

    def __init__(self, uri: str, conn_id: str | None) -> None:
        self.location = parse(uri, conn_id).location
        self.uri = self.location.uri
        self._store = open_store(self.location)
        self._local_path = self.location.key if self.location.is_local else None
        self._written_version = ""  # version of the file after this instance wrote it

    def is_one_of(self, objects: Iterable[StoredObject]) -> bool:
        """Return whether the file is one of these objects, even if it is named in another way.

        In an object store, bucket and key are compared but not the connection, because two connections may lead to the
        same account.
        """
        return any(self._is_at(stored.location) for stored in objects)

    def check_outside_source(
        self, objects: Iterable[StoredObject], source: str | Sequence[str], conn_id: str | None
    ) -> None:
        """Check that the file neither overwrites an object of the source nor becomes one for the next load.

        :param objects: Objects of the source.
        :param source: Names and patterns.
        :param conn_id: Storage connection of the source.
        :raises ConfigError: The file is one of the objects, matches a pattern of the source, or is in one of its
            folders.
        """
        if self.is_one_of(objects):
            raise ConfigError(
                f"The {self.kind} {self.uri} is one of the objects to be loaded: choose another path for it."
            )
        names = [parse(name, conn_id) for name in ([source] if isinstance(source, str) else source)]
        if any(is_below(self.location, name.location) for name in names if name.is_folder):
            raise ConfigError(
                f"The {self.kind} {self.uri} is in a folder of the source, so the next load would read it as part "
                "of the source: write it to another folder."
            )
        if any(self._matches(name.location) for name in names if name.is_pattern):
            raise ConfigError(
                f"The {self.kind} {self.uri} matches the pattern of the source, so the next load would read it as "
                "part of the source: write it to another folder."
            )

    def pieces(self, size: int | None = None) -> Iterator[bytes]:
        """Yield the content from the start, in pieces of up to 1 MiB. Yield nothing if the file does not exist.

        :param size: Maximum number of bytes to read. Default: all.
        :raises ConfigError: The path leads to something that is not a regular file.
        :raises SourceError: The file cannot be read.
        """
        if self._local_path and not regular_file(self._local_path):
            return
        left = size
        with raise_storage_errors(self.uri):
            entry = self._store.get_entry(self.location.bucket, self.location.key)
        if entry is None:
            return
        stream = ObjectStream(lambda start, end: self._store.fetch_range(self.location, entry, start, end), self.uri)
        while piece := stream.read(_PIECE_BYTES if left is None else min(left, _PIECE_BYTES)):
            left = None if left is None else left - len(piece)
            yield piece

    def read(self) -> bytes:
        """Return the content, which is empty if the file does not exist. Raises the errors of :meth:`pieces`."""
        return b"".join(self.pieces())

    def write(self, content: IO[bytes]) -> None:
        """Replace the file atomically: readers see all of the old or all of the new content, even after a kill.

        :raises ConfigError: The path leads to something that is not a regular file.
        :raises SourceError: The file cannot be written, or another process wrote it after this instance did.
        """
        if self._written_version and self._current_version() != self._written_version:
            raise SourceError(
                f"Another process also writes to {self.uri}: give each load its own {self.kind}, for mapped tasks for "
                "instance with {{ ti.map_index }} in its name.",
                uri=self.uri,
            )
        try:
            with raise_storage_errors(self.uri):
                if self._local_path:
                    replace_file(self._local_path, content)
                else:  # An object store shows an object only after it received all of it.
                    file = cast(IO[bytes], UnclosableFile(content))
                    cast(ObjectStore, self._store).write(self.location.bucket, self.location.key, file)
        except SourceError as error:
            cause = error.__cause__
            reason = error_reason(cause) if isinstance(cause, Exception) else error.message
            raise SourceError(f"{self.uri} cannot be written: {reason}.", uri=self.uri) from cause
        self._written_version = self._current_version()

    def _current_version(self) -> str:
        with raise_storage_errors(self.uri):
            entry = self._store.get_entry(self.location.bucket, self.location.key)
            return entry.version if entry else "gone"

    def _matches(self, pattern: Location) -> bool:
        expression = compile_pattern(real_key(pattern).split("/"))
        return in_same_bucket(pattern, self.location) and bool(expression.fullmatch(real_key(self.location)))

    def _is_at(self, other: Location) -> bool:
        if self._local_path and other.is_local:
            return same_file(self._local_path, other.key)
        return in_same_bucket(other, self.location) and other.key == self.location.key


class DeadLetterFile(OutputFile):
    """The dead-letter file of a load. See :class:`OutputFile`."""

    kind = "dead-letter file"


class ChecksFile(OutputFile):
    """What a load collected for checks. See :class:`OutputFile`."""

    kind = "checks file"


class ReportFile(OutputFile):
    """The report of a check. See :class:`OutputFile`."""

    kind = "report"


class QueriesFile(OutputFile):
    """Golden queries, which a check only reads. See :class:`OutputFile`."""

    kind = "object of golden queries"
