"""Indexes and pointers for the tests of a switch-over, on a local Vectorize."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.storage.replace_file import replace_file
from airflow_provider_vectorize.switch_over.mark import Mark, describe
from airflow_provider_vectorize.switch_over.pointer import Pointer, PointerStore, parse_pointer
from airflow_provider_vectorize.switch_over.stores import KvPointerStore
from tests.support import DIMENSIONS, make_rows, ndjson

NAMESPACE = "0f2ac74b498b48028cb68387c421e279"
KV = f"kv://{NAMESPACE}/docs"
PUBLISHED = datetime(2026, 11, 1, 2, tzinfo=UTC)
VECTORS = 5


class FilePointerStore:
    """A pointer in a local file, written as the package writes it, without Airflow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.uri = path.as_uri()

    def read(self) -> bytes | None:
        return self._path.read_bytes() if self._path.exists() else None

    def write(self, value: bytes, check: Callable[[], None] = lambda: None) -> None:
        check()
        replace_file(str(self._path), io.BytesIO(value))


def kv_store(client: VectorizeClient) -> KvPointerStore:
    return KvPointerStore(client, NAMESPACE, "docs")


def create_complete(client: VectorizeClient, *names: str, pointer: str | None = KV, model: str | None = None) -> None:
    """Create indexes with the mark of a pointer, and with all their vectors."""
    for name in names:
        description = describe(Mark(pointer, model), None) if pointer else None
        client.create_index(name, dimensions=DIMENSIONS, metric="cosine", description=description)
        client.upsert(name, ndjson(make_rows(VECTORS)))


def point_to(store: PointerStore, index: str, previous: str | None = None, published_at: datetime = PUBLISHED) -> None:
    store.write(Pointer(index, previous, published_at).to_json(), lambda: None)


def read(store: PointerStore) -> Pointer:
    content = store.read()
    assert content is not None
    return parse_pointer(content, store.uri)


def assert_named_indexes_are_complete(local: LocalVectorize, pointer: Pointer) -> None:
    """Check that the live index and the one for a rollback exist and have all their vectors."""
    for name in (pointer.index, pointer.previous):
        assert name is None or local.count(name) == VECTORS, pointer


def names(client: VectorizeClient) -> Sequence[str]:
    return sorted(index.name for index in client.list_indexes())
