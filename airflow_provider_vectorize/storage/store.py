"""The interface that every store implements, and the values that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, NamedTuple, Protocol

from airflow_provider_vectorize.storage.names import Location

#: Bytes that one request to an object store reads.
BLOCK_BYTES = 8 << 20


class Entry(NamedTuple):
    """An object or a folder, as a store describes it.

    :param key: Key of the object. The key of a folder ends in ``/``.
    :param size: Bytes as stored, or ``None`` if the store does not report them. The bytes that the store sends may be
        more or fewer, because it may decompress them.
    :param revision: ETag, generation or modification time: a text that changes whenever the content does.
    :param encoding: Content encoding in the store's metadata, ``None`` if a listing does not report it.
    :param is_folder: Whether this is a folder, or an object that marks one, rather than an object with rows.
    :param problem: Why the object cannot be read: the end of a sentence that starts with its URI, without a full stop.
    """

    key: str
    size: int | None = None
    revision: str = ""
    encoding: str | None = ""
    is_folder: bool = False
    problem: str = ""

    @property
    def version(self) -> str:
        """Text that changes whenever the content does."""
        return f"{self.size}:{self.revision}"


class FetchedRange(NamedTuple):
    """Bytes that a store sent for a requested range.

    :param data: Bytes of the range, or the first bytes of the object if ``read_rest`` is set.
    :param total: Length of the object as the store sends it, in bytes, if known.
    :param read_rest: Reads on from the same response, up to a number of bytes. Set if the store ignored the range and
        sends the whole object.
    """

    data: bytes
    total: int | None
    read_rest: Callable[[int], bytes] | None = None


class ObjectMissing(Exception):  # noqa: N818 - internal, converted to a SourceError before it leaves the package
    """The object does not exist, or was deleted."""


class ObjectChanged(Exception):  # noqa: N818 - internal, converted to a SourceError before it leaves the package
    """The object has another version than the one that was found."""


class Store(Protocol):
    """A store whose objects are read by their exact keys."""

    def get_entry(self, bucket: str, key: str, version: str | None = None) -> Entry | None:
        """Return the entry of exactly this key, or ``None`` if it does not exist."""
        ...

    def list_level(self, bucket: str, prefix: str, start: str) -> Iterator[Entry]:
        """Yield the objects and folders directly below a prefix.

        :param prefix: Empty, or a key prefix that ends in ``/``.
        :param start: What the names below the prefix start with.
        """
        ...

    def list_all(self, bucket: str, prefix: str) -> Iterator[Entry]:
        """Yield all objects whose keys start with a prefix, at any depth."""
        ...

    def fetch_range(self, location: Location, entry: Entry, start: int, end: int) -> FetchedRange:
        """Return bytes of an object as they are stored.

        :param entry: The entry that was found. The object must still have its version.
        :param start: First byte.
        :param end: Byte after the last one.
        :raises ObjectMissing: The object does not exist anymore.
        :raises ObjectChanged: The object has another version.
        """
        ...


class ObjectStore(Store, Protocol):
    """A store on another machine, which replaces objects atomically."""

    def write(self, bucket: str, key: str, content: IO[bytes]) -> None:
        """Create or overwrite an object: either with all of the content, or not at all."""
        ...

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object. It is no error if it does not exist."""
        ...
