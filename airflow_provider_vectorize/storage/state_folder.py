"""The folder of a sync's state in storage: read, write, list and delete objects by their names in the folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO, cast

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.storage.connections import open_store
from airflow_provider_vectorize.storage.containment import is_below
from airflow_provider_vectorize.storage.errors import raise_storage_errors
from airflow_provider_vectorize.storage.names import Location, parse
from airflow_provider_vectorize.storage.objects import StoredObject
from airflow_provider_vectorize.storage.store import ObjectStore
from airflow_provider_vectorize.storage.whole_objects import failed, read_pieces, write_object


class StoredFolder:
    """A folder in storage. Implements the state folder of a sync.

    :param uri: Name of the folder. It is always read as exactly this key, never as a pattern.
    :param conn_id: Storage connection. A connection in the name takes precedence.
    :raises ConfigError: The name is not that of a folder, or its storage cannot be opened.
    """

    def __init__(self, uri: str, conn_id: str | None) -> None:
        name = uri.rstrip("/")
        if not name or name.endswith(":"):
            raise ConfigError(f"{uri} names no folder, but the state of a sync needs one of its own.")
        location = parse(name, conn_id).location
        if any(character in location.key for character in "*?["):
            raise ConfigError(f"{location.uri} is a pattern, but the state of a sync needs the name of one folder.")
        self.location = location
        self.uri = location.uri
        self._store = cast(ObjectStore, open_store(location))

    def check_outside_source(
        self, objects: Iterable[StoredObject], source: str | Sequence[str], conn_id: str | None
    ) -> None:
        """Check that the source does not contain the folder, whose objects would otherwise be read as data.

        :param objects: Objects of the source.
        :param source: Names and patterns.
        :param conn_id: Storage connection of the source.
        :raises ConfigError: An object of the source is in the folder, or the folder is in a folder of the source.
        """
        names = [parse(name, conn_id) for name in ([source] if isinstance(source, str) else source)]
        if any(is_below(stored.location, self.location) for stored in objects) or any(
            is_below(self.location, name.location) for name in names if name.is_folder
        ):
            raise ConfigError(
                f"The state folder {self.uri} is in the source, so its objects would be read as data: choose a folder "
                "outside of the source."
            )

    def read(self, name: str) -> bytes | None:
        """Return the content of an object, or ``None`` if it does not exist.

        :raises SourceError: The object cannot be read, for instance because access is denied.
        """
        pieces = self._pieces(name)
        return None if pieces is None else b"".join(pieces)

    def download(self, name: str, target: IO[bytes]) -> bool:
        """Copy the content of an object to a file, and return whether the object exists.

        :raises SourceError: The object cannot be read.
        """
        pieces = self._pieces(name)
        for piece in pieces or ():
            target.write(piece)
        target.flush()
        return pieces is not None

    def write(self, name: str, content: IO[bytes]) -> None:
        """Create or replace an object atomically.

        :raises SourceError: The object cannot be written.
        """
        write_object(self._store, self._location(name), content)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the names of all objects whose names start with a prefix.

        :param prefix: Empty, or a prefix that ends in ``/``.
        :raises SourceError: The folder cannot be listed.
        """
        start = f"{self.location.key}/"
        with raise_storage_errors(self.uri):
            for entry in self._store.list_all(self.location.bucket, f"{start}{prefix}"):
                if not entry.is_folder and not os.path.basename(entry.key).startswith(".vectorize-"):
                    yield entry.key.removeprefix(start)

    def delete(self, name: str) -> None:
        """Delete an object, if it exists.

        :raises SourceError: The object cannot be deleted.
        """
        location = self._location(name)
        try:
            with raise_storage_errors(location.uri):
                if location.is_local:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(location.key)
                    with contextlib.suppress(OSError):  # An empty folder of a log is of no use.
                        os.rmdir(os.path.dirname(location.key))
                else:
                    self._store.delete(location.bucket, location.key)
        except SourceError as error:
            raise failed(location, "deleted", error) from error.__cause__

    def _location(self, name: str) -> Location:
        return replace(self.location, key=f"{self.location.key}/{name}")

    def _pieces(self, name: str) -> Iterator[bytes] | None:
        return read_pieces(self._store, self._location(name))
