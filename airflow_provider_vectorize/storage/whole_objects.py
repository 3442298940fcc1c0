"""Read and write whole objects, which are small or are read piece by piece."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import IO, cast

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.sources.compression import error_reason
from airflow_provider_vectorize.storage.connections import open_store
from airflow_provider_vectorize.storage.errors import raise_storage_errors
from airflow_provider_vectorize.storage.names import Location, parse
from airflow_provider_vectorize.storage.replace_file import replace_file
from airflow_provider_vectorize.storage.store import Entry, ObjectStore
from airflow_provider_vectorize.storage.streams import ObjectStream, UnclosableFile

_PIECE_BYTES = 1 << 20


class StoredValue:
    """One small object in storage. Implements the store of a pointer.

    :param uri: Name of the object. It is always read as exactly this key, never as a pattern.
    :raises ConfigError: The name is not that of an object, or its storage cannot be opened.
    """

    def __init__(self, uri: str) -> None:
        self._location = parse(uri).location
        self.uri = self._location.uri
        self._store = cast(ObjectStore, open_store(self._location))

    def read(self) -> bytes | None:
        """Return the content, or ``None`` if the object does not exist.

        :raises SourceError: The object cannot be read, for instance because access is denied.
        """
        pieces = read_pieces(self._store, self._location)
        return None if pieces is None else b"".join(pieces)

    def write(self, value: bytes, check: Callable[[], None] = lambda: None) -> None:
        """Create or replace the object atomically.

        :param check: Called before the object is written.
        :raises SourceError: The object cannot be written.
        """
        check()
        write_object(self._store, self._location, io.BytesIO(value))


def read_pieces(store: ObjectStore, location: Location) -> Iterator[bytes] | None:
    """Return the content of an object in pieces of up to 1 MiB, or ``None`` if it does not exist.

    :raises SourceError: The object cannot be read.
    """
    with raise_storage_errors(location.uri):
        entry = store.get_entry(location.bucket, location.key)
    return None if entry is None else _read(store, location, entry)


def write_object(store: ObjectStore, location: Location, content: IO[bytes]) -> None:
    """Create or replace an object atomically.

    :raises SourceError: The object cannot be written.
    """
    try:
        with raise_storage_errors(location.uri):
            if location.is_local:
                replace_file(location.key, content)
            else:
                store.write(location.bucket, location.key, cast(IO[bytes], UnclosableFile(content)))
    except SourceError as error:
        raise failed(location, "written", error) from error.__cause__


def failed(location: Location, action: str, error: SourceError) -> SourceError:
    """Return an error that names the action, in place of one that is worded for reading."""
    cause = error.__cause__
    reason = error_reason(cause) if isinstance(cause, Exception) else error.message
    return SourceError(f"{location.uri} cannot be {action}: {reason}.", uri=location.uri)


def _read(store: ObjectStore, location: Location, entry: Entry) -> Iterator[bytes]:
    if location.is_local:
        with raise_storage_errors(location.uri), open(location.key, "rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
        return
    stream = ObjectStream(lambda start, end: store.fetch_range(location, entry, start, end), location.uri)
    while piece := stream.read(_PIECE_BYTES):
        yield piece
