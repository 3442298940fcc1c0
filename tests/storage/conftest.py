"""Upstream storage: a real S3 protocol server, and this machine's files."""

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

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Storage is reached through Airflow's connections."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.airflow)


@pytest.fixture(scope="session")
def object_store_server() -> Iterator[ObjectStore]:
    with serve() as store:
        yield store


@pytest.fixture
def s3(object_store_server: ObjectStore, airflow_home: Any, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:  # noqa: F811
    """An empty bucket behind the Airflow connection ``store``."""
    object_store_server.reset()
    monkeypatch.setenv("AIRFLOW_CONN_STORE", object_store_server.connection)
    return object_store_server


def attach(scheme: str, conn_id: str, fs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Airflow a file system, as the storage's provider does."""
    from airflow.providers.common.compat.sdk import io

    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "generic"}))
    io.attach(scheme, conn_id, fs=fs)


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
class Place:
    """Where objects lie: the same tests hold for each kind of storage."""

    base: str
    conn_id: str | None
    put: Callable[[str, bytes], str]
    get: Callable[[str], bytes]
    delete: Callable[[str], object]

    def find(self, *names: str) -> list[Any]:
        """What the provider finds under names below the base."""
        from airflow_provider_vectorize import storage

        found = [f"{self.base}/{name}" for name in names]
        return storage.find(found[0] if len(found) == 1 else found, self.conn_id)


@pytest.fixture(params=["s3", "file", "plain path"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """S3, and files by URI and by path."""
    if request.param == "s3":
        store: ObjectStore = request.getfixturevalue("s3")
        return Place(
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

    return Place(tmp_path.as_uri() if request.param == "file" else str(tmp_path), None, put, *_of_files(tmp_path))


def _of_files(base: Path) -> tuple[Callable[[str], bytes], Callable[[str], object]]:
    return lambda key: (base / key).read_bytes(), lambda key: (base / key).unlink()


def packed(text: bytes, name: str) -> bytes:
    """The text as a file of that name holds it."""
    if name.endswith(".gz"):
        return gzip.compress(text)
    if name.endswith(".zst"):
        import zstandard

        return zstandard.compress(text)
    return text


def read(item: Any, offset: int = 0) -> bytes:
    """All that is there from a byte on."""
    with item.open(offset) as text:
        return b"".join(iter(lambda: text.stream.read(1 << 20), b""))
