"""Open the store of a location with its Airflow connection."""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, ObjectStoragePath

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.sources.compression import error_reason
from airflow_provider_vectorize.storage.names import Location, mask_connection_id
from airflow_provider_vectorize.storage.store import ObjectStore, Store


def open_store(location: Location) -> Store:
    """Return the store of a location.

    :raises ConfigError: The connection does not exist, its file system cannot be opened, or no installed provider can
        open such a URI.
    """
    # s3fs silently falls back to the machine's own credentials if the connection does not exist.
    if location.conn_id:
        check_connection(location.conn_id, location.uri)
    if location.is_local:
        from airflow_provider_vectorize.storage.local_files import LocalStore  # noqa: PLC0415 - only local files use it

        return LocalStore()
    return _store_of_file_system(_open_file_system(location))


def check_connection(conn_id: str, uri: str) -> None:
    """Check that a storage connection exists.

    :param uri: What the connection is for, for the message.
    :raises ConfigError: The connection does not exist.
    """
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigError(
            f'There is no connection "{mask_connection_id(conn_id)}" for the storage of {uri}: create it under Admin, '
            "Connections."
        ) from None


def _open_file_system(location: Location) -> Any:
    """Return Airflow's file system for a connection, usable in this process."""
    try:
        fs = ObjectStoragePath(f"{location.scheme}://bucket", conn_id=location.conn_id).fs
        # A forked process inherits its parent's file system, which only works in the parent.
        if getattr(fs, "_pid", None) not in (None, os.getpid()):
            fs = type(fs)(*fs.storage_args, **fs.storage_options)
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"No installed provider can open {location.uri}: {error_reason(error)}. Install the storage's provider, "
            "for instance apache-airflow-providers-amazon[s3fs], -google or -microsoft-azure."
        ) from error
    except Exception as error:
        raise ConfigError(
            f"The storage of {location.uri} cannot be opened with its connection: {type(error).__name__}: "
            f"{error_reason(error)}."
        ) from error
    return fs


def _store_of_file_system(fs: Any) -> ObjectStore:
    """Return the store that uses a file system's client. The file system's own functions parse keys like URLs."""
    if hasattr(fs, "call_s3"):
        from airflow_provider_vectorize.storage.s3 import S3Store  # noqa: PLC0415 - imports what only S3 needs

        return S3Store(fs)
    if hasattr(fs, "call") and hasattr(fs, "credentials"):
        from airflow_provider_vectorize.storage.gcs import GcsStore  # noqa: PLC0415 - imports what only GCS needs

        return GcsStore(fs)
    if hasattr(fs, "service_client"):
        from airflow_provider_vectorize.storage.azure import AzureStore  # noqa: PLC0415 - imports what only Azure needs

        return AzureStore(fs)
    from airflow_provider_vectorize.storage.other import OtherStore  # noqa: PLC0415 - rarely used

    return OtherStore(fs)
