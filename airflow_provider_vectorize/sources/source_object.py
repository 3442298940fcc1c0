"""An object of a source, as every reader sees it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from airflow_provider_vectorize.sources.lines import Text


class SourceObject(Protocol):
    """An object in storage."""

    @property
    def uri(self) -> str:
        """Its name, without credentials."""
        ...

    @property
    def size(self) -> int | None:
        """Its bytes as stored, or ``None`` where the store does not tell."""
        ...

    @property
    def key(self) -> str:
        """Its key, whose end says how it is compressed."""
        ...

    @property
    def encoding(self) -> str:
        """The content encoding in the store's metadata, or nothing. May ask the store, once."""
        ...

    @property
    def identity(self) -> str:
        """What tells it from every other object, whichever store and connection it is of."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the content does: size and ETag or time of modification."""
        ...

    def open(self, offset: int) -> AbstractContextManager[Text]:
        """Its decompressed bytes from ``offset`` on."""
        ...

    def current_version(self) -> str:
        """:attr:`version`, asked for again."""
        ...
