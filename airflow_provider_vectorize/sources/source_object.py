"""The interface of an object in a source."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import IO, Protocol

from airflow_provider_vectorize.sources.lines import Text


class SourceObject(Protocol):
    """An object in storage."""

    @property
    def uri(self) -> str:
        """URI of the object, without credentials."""
        ...

    @property
    def size(self) -> int | None:
        """Size in bytes as stored, or ``None`` if the store does not report it."""
        ...

    @property
    def key(self) -> str:
        """Key of the object. Its suffix indicates how the object is compressed."""
        ...

    @property
    def encoding(self) -> str:
        """Content encoding in the store's metadata, or an empty string. May send one request to the store."""
        ...

    @property
    def identity(self) -> str:
        """Text that is unique among all objects of all stores and connections."""
        ...

    @property
    def version(self) -> str:
        """Text that changes with the content: size and ETag or modification time."""
        ...

    def open(self, offset: int) -> AbstractContextManager[Text]:
        """Open the object's decompressed text.

        :param offset: Byte of the decompressed text at which to begin.
        """
        ...

    def open_file(self, block_bytes: int | None = None) -> AbstractContextManager[IO[bytes]]:
        """Open the stored bytes of the complete object for random access.

        :param block_bytes: Bytes of one request to an object store. Default: what the store prefers.
        """
        ...

    def read(self, start: int, end: int) -> bytes:
        """Return a few bytes of the complete object as they are stored, from a start to an end, which is exclusive."""
        ...

    def current_version(self) -> str:
        """Request :attr:`version` from the store again."""
        ...
