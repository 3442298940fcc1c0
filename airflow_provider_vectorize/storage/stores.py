"""What is asked of a store, whichever it is, and how a connection becomes one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, Protocol

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, ObjectStoragePath

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.compressed import reason
from airflow_provider_vectorize.storage.names import Location, masked_connection

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


def open_store(location: Location) -> Store:
    """The store of a location.

    :raises ConfigError: there is no such connection, or nothing can open such a URI.
    """
    _check_connection(location)
    if location.is_local:
        from airflow_provider_vectorize.storage.local_files import LocalStore  # noqa: PLC0415 - no other needs it

        return LocalStore()
    return _adapter(_file_system(location))


def _check_connection(location: Location) -> None:
    # S3's file system quietly takes the machine's own credentials for a connection that does not exist.
    if location.conn_id:
        check_connection(location.conn_id, location.uri)


def check_connection(conn_id: str, uri: str) -> None:
    """Check that a storage connection exists.

    :raises ConfigError: it does not.
    """
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigError(
            f'There is no connection "{masked_connection(conn_id)}" for the storage of {uri}: create it under Admin, '
            "Connections."
        ) from None


def _file_system(location: Location) -> Any:
    """Airflow's file system for a connection, usable in this process."""
    try:
        fs = ObjectStoragePath(f"{location.scheme}://bucket", conn_id=location.conn_id).fs
        if getattr(fs, "_pid", None) not in (None, os.getpid()):  # of the process that this one was forked from
            fs = type(fs)(*fs.storage_args, **fs.storage_options)
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"Nothing here can open {location.uri}: {reason(error)}. Install the storage's provider, for instance "
            "apache-airflow-providers-amazon[s3fs], -google or -microsoft-azure."
        ) from error
    except Exception as error:
        raise ConfigError(
            f"The storage of {location.uri} cannot be opened with its connection: {type(error).__name__}: "
            f"{reason(error)}."
        ) from error
    return fs


def _adapter(fs: Any) -> ObjectStore:
    """The store behind a file system. Its own functions take paths apart like URLs, so its client is asked instead."""
    if hasattr(fs, "call_s3"):
        from airflow_provider_vectorize.storage.s3 import S3Store  # noqa: PLC0415 - imports what only S3 needs

        return S3Store(fs)
    if hasattr(fs, "call") and hasattr(fs, "credentials"):
        from airflow_provider_vectorize.storage.gcs import GcsStore  # noqa: PLC0415 - as above

        return GcsStore(fs)
    if hasattr(fs, "service_client"):
        from airflow_provider_vectorize.storage.azure import AzureStore  # noqa: PLC0415 - as above

        return AzureStore(fs)
    from airflow_provider_vectorize.storage.other import OtherStore  # noqa: PLC0415 - as above

    return OtherStore(fs)
