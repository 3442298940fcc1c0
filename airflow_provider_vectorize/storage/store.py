"""The interface that every store implements, and the values that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, NamedTuple, Protocol

from airflow_provider_vectorize.storage.names import Location

#: Bytes of one request to an object store.
BLOCK_BYTES = 8 << 20


class Entry(NamedTuple):
    """An object or a folder, as a store describes it.

    :param key: the object's key; a folder's ends in ``/``.
    :param size: bytes as stored, if the store knows. What travels may be longer or shorter.
    :param stamp: differs whenever the content does: ETag, generation or time of modification.
    :param encoding: how the store's metadata says that the bytes are encoded; ``None`` if a listing does not say.
    :param is_folder: it is a folder or what marks one, not an object with rows.
    :param problem: why it cannot be read, as the end of a sentence, without a full stop.
    """

    key: str
    size: int | None = None
    stamp: str = ""
    encoding: str | None = ""
    is_folder: bool = False
    problem: str = ""

    @property
    def version(self) -> str:
        """Changes whenever the content does."""
        return f"{self.size}:{self.stamp}"


class Answer(NamedTuple):
    """What a store sends for a range of bytes.

    :param data: the bytes of the range, or the first ones of the whole object.
    :param total: bytes of the whole as it travels, where known.
    :param rest: where the store sends the whole object whatever the range: reads on.
    """

    data: bytes
    total: int | None
    rest: Callable[[int], bytes] | None = None


class Missing(Exception):  # noqa: N818 - a fact, translated before anybody sees it
    """There is no such object, or not any more."""


class Changed(Exception):  # noqa: N818 - as above
    """The object is not the one that was found."""


class Store(Protocol):
    """A store, by exact keys."""

    def stat(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """The object of exactly this key, or ``None``."""
        ...

    def level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """Objects and folders whose keys begin with prefix and start, up to the next ``/`` after the prefix."""
        ...

    def below(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """All objects whose keys begin with a prefix."""
        ...

    def fetch(self, location: Location, entry: Entry, start: int, end: int) -> Answer:
        """Bytes as stored.

        :raises Missing: it is gone.
        :raises Changed: it is another one.
        """
        ...


class ObjectStore(Store, Protocol):
    """A store that is not this machine."""

    def write(self, bucket: str, key: str, content: IO[bytes]) -> None:
        """Replace the object, all or nothing."""
        ...
