"""The file that the provider writes to storage, for dead letters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, cast

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.sources.compression import error_reason
from airflow_provider_vectorize.storage.connections import open_store
from airflow_provider_vectorize.storage.errors import explained
from airflow_provider_vectorize.storage.globs import compiled
from airflow_provider_vectorize.storage.names import Location, parse
from airflow_provider_vectorize.storage.objects import StoredObject
from airflow_provider_vectorize.storage.replace_file import regular_file, replace_file, same_file
from airflow_provider_vectorize.storage.store import ObjectStore
from airflow_provider_vectorize.storage.streams import KeptOpen, ObjectStream

#: Bytes of one read.
PIECE_BYTES = 1 << 20


class StoredFile:
    """A file that the provider writes, for dead letters.

    :param uri: its name; no character of it makes a pattern or a part.
    :param conn_id: the storage's connection, unless the name holds one.
    """

    def __init__(self, uri: str, conn_id: str | None) -> None:
        self.location = parse(uri, conn_id).location
        self.uri = self.location.uri
        self._store = open_store(self.location)
        self._local = self.location.key if self.location.is_local else None
        self._written = ""  # the version that this object wrote

    def is_one_of(self, objects: Iterable[StoredObject]) -> bool:
        """Whether it is one of these objects, whatever the names of both are.

        In an object store, bucket and key decide, and not the connection: two connections may lead to one account.
        """
        return any(self._is(item.location) for item in objects)

    def is_found_by(self, source: str | Sequence[str], conn_id: str | None) -> bool:
        """Whether a pattern of a source finds it once it exists.

        :param source: Names and patterns.
        :param conn_id: The storage's connection.
        """
        names = [parse(name, conn_id) for name in ([source] if isinstance(source, str) else source)]
        return any(self._is_found_by(name.location) for name in names if name.is_pattern)

    def refuse_source(self, objects: Iterable[StoredObject], source: str | Sequence[str], conn_id: str | None) -> None:
        """Refuse to be written over the source of a load, or into what its pattern finds the next time.

        :raises ConfigError: it is one of the objects, or will be.
        """
        if self.is_one_of(objects):
            raise ConfigError(
                f"The dead-letter file {self.uri} is one of the objects to be loaded: write it to another place."
            )
        if self.is_found_by(source, conn_id):
            raise ConfigError(
                f"The dead-letter file {self.uri} matches the pattern of the source, so the next load would take it "
                "for a part of the source: write it to another folder."
            )

    def pieces(self, size: int | None = None) -> Iterator[bytes]:
        """Read it from the beginning, a piece at a time; nothing if it does not exist.

        :param size: Maximum number of bytes to read.
        :raises ConfigError: It is not a regular file.
        :raises SourceError: It cannot be read.
        """
        if self._local and not regular_file(self._local):
            return
        left = size
        with explained(self.uri):
            entry = self._store.stat(self.location.bucket, self.location.key)
        if entry is None:
            return
        stream = ObjectStream(lambda start, end: self._store.fetch(self.location, entry, start, end), self.uri)
        while piece := stream.read(PIECE_BYTES if left is None else min(left, PIECE_BYTES)):
            left = None if left is None else left - len(piece)
            yield piece

    def read(self) -> bytes:
        """Read all of it; nothing if it does not exist. Errors are those of :meth:`pieces`."""
        return b"".join(self.pieces())

    def write(self, content: IO[bytes]) -> None:
        """Replace it atomically: a reader finds the old or the new content, complete, even if this process is killed.

        :raises ConfigError: it is not a regular file.
        :raises SourceError: it cannot be written, or somebody else did since this last did.
        """
        if self._written and self._version() != self._written:
            raise SourceError(
                f"Somebody else writes to {self.uri}, too: give each load a file of its own, mapped tasks for instance "
                "with {{ ti.map_index }} in its name.",
                uri=self.uri,
            )
        try:
            with explained(self.uri):
                if self._local:
                    replace_file(self._local, content)
                else:  # an object is there when all of it is
                    kept = cast(IO[bytes], KeptOpen(content))
                    cast(ObjectStore, self._store).write(self.location.bucket, self.location.key, kept)
        except SourceError as error:
            cause = error.__cause__
            said = error_reason(cause) if isinstance(cause, Exception) else error.message
            raise SourceError(f"{self.uri} cannot be written: {said}.", uri=self.uri) from cause
        self._written = self._version()

    def _version(self) -> str:
        with explained(self.uri):
            entry = self._store.stat(self.location.bucket, self.location.key)
            return entry.version if entry else "gone"

    def _is_found_by(self, pattern: Location) -> bool:
        real: Callable[[str], str] = os.path.realpath if self._local else str
        matches = compiled(real(pattern.key).split("/"))
        return _place(pattern) == _place(self.location) and bool(matches.fullmatch(real(self.location.key)))

    def _is(self, other: Location) -> bool:
        if self._local and other.is_local:
            return same_file(self._local, other.key)
        return _place(other) == _place(self.location) and other.key == self.location.key


def _place(location: Location) -> tuple[str, str]:
    return location.scheme, location.bucket
