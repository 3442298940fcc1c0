"""The file that the provider writes to storage, for dead letters."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, cast

from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec.utils import glob_translate

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.load.compressed import reason
from airflow_provider_vectorize.storage.objects import _GLOB, StoredObject, _is_local, _path, _scheme, _told, _version
from airflow_provider_vectorize.storage.replace import regular_file, replace_file, same_file

#: Bytes of one read.
PIECE_BYTES = 1 << 20
#: Schemes that lead to the same store.
_STORES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfss": "abfs", "adl": "abfs", "az": "abfs"}


class StoredFile:
    """A file that the provider writes, for dead letters.

    :param uri: its name.
    :param conn_id: the storage's connection.
    """

    def __init__(self, uri: str, conn_id: str | None) -> None:
        self._path = _path(uri, conn_id)
        self._local = os.path.abspath(self._path.path) if _is_local(self._path) else None
        self.uri = f"file://{self._local}" if self._local else f"{_scheme(self._path)}://{self._path.path}"
        self._written = ""  # the version that this object wrote

    def is_one_of(self, objects: Iterable[StoredObject]) -> bool:
        """Whether it is one of these objects, whatever the names of both are.

        In an object store, bucket and key decide, and not the connection: two connections may lead to one account.
        """
        return any(self._is(item) for item in objects)

    def is_found_by(self, source: str | Sequence[str], conn_id: str | None) -> bool:
        """Whether a pattern of a source finds it once it exists.

        :param source: Names and patterns.
        :param conn_id: The storage's connection.
        """
        names = [source] if isinstance(source, str) else source
        return any(self._is_found_by(_path(name, conn_id)) for name in names if _GLOB & set(name))

    def pieces(self, size: int | None = None) -> Iterator[bytes]:
        """Read it from the beginning, a piece at a time; nothing if it does not exist.

        :param size: Maximum number of bytes to read.
        :raises ConfigError: It is not a regular file.
        :raises SourceError: It cannot be read.
        """
        if self._local and not regular_file(self._local):
            return
        left = size
        with _told(self.uri), contextlib.suppress(FileNotFoundError), self._reader() as stream:
            while piece := stream.read(PIECE_BYTES if left is None else min(left, PIECE_BYTES)):
                left = None if left is None else left - len(piece)
                yield piece

    def read(self) -> bytes:
        """Read all of it; nothing if it does not exist. Errors are those of :meth:`pieces`."""
        return b"".join(self.pieces())

    def write(self, content: IO[bytes]) -> None:
        """Replace it. Whoever reads it, and whatever happens to this process, finds the old or the new one, whole.

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
            with _told(self.uri):
                if self._local:
                    replace_file(self._local, content)
                else:  # an object is there when all of it is
                    with self._path.fs.open(self._path.path, "wb") as stream:
                        shutil.copyfileobj(content, stream, PIECE_BYTES)
        except SourceError as error:
            cause = error.__cause__
            said = reason(cause) if isinstance(cause, Exception) else error.message
            raise SourceError(f"{self.uri} cannot be written: {said}.", uri=self.uri) from cause
        self._written = self._version()

    def _reader(self) -> IO[bytes]:
        if self._local:
            return open(self._local, "rb")
        self._path.fs.invalidate_cache(self._path.path)
        return cast(IO[bytes], self._path.fs.open(self._path.path, "rb"))

    def _version(self) -> str:
        with _told(self.uri):
            self._path.fs.invalidate_cache(self._path.path)
            return _version(self._path.fs.info(self._local or self._path.path))

    def _is_found_by(self, pattern: ObjectStoragePath) -> bool:
        if self._local or _is_local(pattern):
            mine, theirs = os.path.realpath(self._local or ""), os.path.realpath(pattern.path)
            return bool(self._local) and _is_local(pattern) and bool(re.fullmatch(glob_translate(theirs), mine))
        same_store = _store(_scheme(self._path)) == _store(_scheme(pattern))
        return same_store and bool(re.fullmatch(glob_translate(pattern.path), self._path.path))

    def _is(self, item: StoredObject) -> bool:
        other = item._path
        if self._local or _is_local(other):
            return bool(self._local) and _is_local(other) and same_file(self._local or "", other.path)
        return self._path.path == other.path and _store(_scheme(self._path)) == _store(_scheme(other))


def _store(scheme: str) -> str:
    return _STORES.get(scheme, scheme)
