"""Open the store of a location with its connection."""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, ObjectStoragePath

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.sources.compression import error_reason
from airflow_provider_vectorize.storage.names import Location, masked_connection
from airflow_provider_vectorize.storage.store import ObjectStore, Store


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
            f"Nothing here can open {location.uri}: {error_reason(error)}. Install the storage's provider, for "
            "instance apache-airflow-providers-amazon[s3fs], -google or -microsoft-azure."
        ) from error
    except Exception as error:
        raise ConfigError(
            f"The storage of {location.uri} cannot be opened with its connection: {type(error).__name__}: "
            f"{error_reason(error)}."
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
