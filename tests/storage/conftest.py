"""Fixtures for upstream storage: servers for S3, Azure and Google Cloud Storage, and local files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.conftest import airflow_home, dags_folder  # noqa: F401 - fixtures
from tests.storage import cloud_storage, servers
from tests.storage.object_store import BUCKET, ObjectStore, serve


@pytest.fixture(scope="session")
def object_store_server() -> Iterator[ObjectStore]:
    with serve() as store:
        yield store


@pytest.fixture
def s3(object_store_server: ObjectStore, airflow_home: Any, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:  # noqa: F811
    """Return a server with an empty bucket, whose Airflow connection is ``store``."""
    object_store_server.reset()
    monkeypatch.setenv("AIRFLOW_CONN_STORE", object_store_server.connection)
    return object_store_server


def attach_file_system(scheme: str, conn_id: str, fs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a file system for a scheme and connection, as the storage's Airflow provider does."""
    try:
        from airflow.sdk.io import attach
    except ImportError:  # Airflow 2
        from airflow.io.store import attach

    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "generic"}))
    attach(scheme, conn_id, fs=fs)


@pytest.fixture(scope="session")
def s3rver() -> Iterator[Any]:
    with servers.s3rver() as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[Any]:
    with servers.azurite() as server:
        yield server


@pytest.fixture(scope="session")
def google() -> Iterator[Any]:
    gcsfs = pytest.importorskip("gcsfs")
    with cloud_storage.serve() as server:
        yield server, gcsfs.GCSFileSystem(token="anon", endpoint_url=server.url, project="test")


@dataclass(frozen=True)
class StorageFolder:
    """A folder in one kind of storage, for tests that run against each of them.

    :param base: URI or path of the folder.
    :param conn_id: Airflow connection, or ``None`` for local files.
    :param put: Writes an object without the provider and returns its URI.
    :param get: Reads an object without the provider.
    :param delete: Deletes an object without the provider.
    """

    base: str
    conn_id: str | None
    put: Callable[[str, bytes], str]
    get: Callable[[str], bytes]
    delete: Callable[[str], object]

    def find(self, *names: str) -> list[Any]:
        """Return what the provider finds for names in this folder."""
        from airflow_provider_vectorize import storage

        uris = [f"{self.base}/{name}" for name in names]
        return storage.find(uris[0] if len(uris) == 1 else uris, self.conn_id)


@pytest.fixture(params=["s3", "file", "plain path"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> StorageFolder:
    """Return an empty folder: in S3, and in local files by URI and by path."""
    if request.param == "s3":
        store: ObjectStore = request.getfixturevalue("s3")
        return StorageFolder(
            f"s3://{BUCKET}",
            "store",
            store.put,
            store.get,
            lambda key: store.client.delete_object(Bucket=BUCKET, Key=key),
        )
    request.getfixturevalue("airflow_home")

    def put(key: str, content: bytes) -> str:
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path.as_uri()

    return StorageFolder(
        tmp_path.as_uri() if request.param == "file" else str(tmp_path), None, put, *_read_and_delete(tmp_path)
    )


def _read_and_delete(base: Path) -> tuple[Callable[[str], bytes], Callable[[str], object]]:
    return lambda key: (base / key).read_bytes(), lambda key: (base / key).unlink()


def compress(text: bytes, name: str) -> bytes:
    """Compress the text as the suffix of a file name says."""
    if name.endswith(".gz"):
        return gzip.compress(text)
    if name.endswith(".zst"):
        import zstandard

        return zstandard.compress(text)
    return text


def read_text(stored: Any, offset: int = 0) -> bytes:
    """Return the text of a stored object from an offset to its end."""
    with stored.open(offset) as text:
        return b"".join(iter(lambda: text.stream.read(1 << 20), b""))
