"""The file that the provider writes to storage, for dead letters."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import IO, cast

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.load.compressed import reason
from airflow_provider_vectorize.storage.objects import _is_local, _path, _told, _uri, _version


class StoredFile:
    """A file that the provider writes, for dead letters.

    :param uri: its name.
    :param conn_id: the storage's connection.
    """

    def __init__(self, uri: str, conn_id: str | None) -> None:
        self._path = _path(uri, conn_id)
        self.uri = _uri(self._path)
        self._written = ""  # the version that this object wrote

    def read(self) -> bytes:
        """All of it; nothing where it is not there.

        :raises SourceError: it cannot be read.
        """
        with _told(self.uri):
            try:
                self._path.fs.invalidate_cache(self._path.path)
                with self._path.fs.open(self._path.path, "rb") as stream:
                    return cast(bytes, stream.read())
            except FileNotFoundError:
                return b""

    def write(self, content: IO[bytes]) -> None:
        """Replace it. Whoever reads it, and whatever happens to this process, finds the old or the new one, whole.

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
                if _is_local(self._path):
                    self._write_local(content)
                else:  # an object is there when all of it is
                    with self._path.fs.open(self._path.path, "wb") as stream:
                        shutil.copyfileobj(content, stream, 1 << 20)
        except SourceError as error:
            cause = error.__cause__
            said = reason(cause) if isinstance(cause, Exception) else error.message
            raise SourceError(f"{self.uri} cannot be written: {said}.", uri=self.uri) from cause
        self._written = self._version()

    def _version(self) -> str:
        with _told(self.uri):
            self._path.fs.invalidate_cache(self._path.path)
            return _version(self._path.fs.info(self._path.path))

    def _write_local(self, content: IO[bytes]) -> None:
        os.makedirs(os.path.dirname(self._path.path), exist_ok=True)
        beside = f"{self._path.path}.part"  # one that a killed process left is replaced, too
        try:
            with open(beside, "wb") as stream:
                shutil.copyfileobj(content, stream, 1 << 20)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, self._path.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
