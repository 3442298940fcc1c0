"""Fixtures of the load tests: an index on the local Vectorize, and loads into it without Airflow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.load.checkpoint import CheckpointStore
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.load.progress import Observer
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.local.handle import LocalVectorize, RecordedRequest
from tests.support import DIMENSIONS, FileObject, FileTarget, Row, client_of, create_index, ndjson, write_object


class BooksIndex:
    """An index of 32 dimensions, and helpers that load into it and inspect it.

    :param local: The local Vectorize.
    :param folder: The folder for sources and the dead-letter file.
    """

    name = "books"

    def __init__(self, local: LocalVectorize, folder: Path) -> None:
        self.local = local
        self.folder = folder
        self.target = FileTarget(folder / "bad.ndjson")

    def write_source(self, rows: Iterable[Row] | bytes, name: str = "source.ndjson") -> FileObject:
        """Write rows to a file, compressed as its name says, and return it as a source object."""
        return FileObject(write_object(self.folder / name, rows if isinstance(rows, bytes) else ndjson(rows)))

    def load(
        self,
        source: Iterable[Row] | bytes | FileObject | Sequence[FileObject],
        operation: Any = "upsert",
        *,
        per_request: int = 10,
        dead_letters: bool = False,
        store: CheckpointStore | None = None,
        identity: Mapping[str, str] | None = None,
        client: Mapping[str, Any] | None = None,
        observer: Observer = lambda progress: None,
        earlier_attempt: bool = False,
        **options: Any,
    ) -> Receipt:
        """Load a source in batches of ``per_request`` rows, and return the receipt."""
        if isinstance(source, FileObject):
            objects: Sequence[FileObject] = [source]
        elif isinstance(source, list) and source and isinstance(source[0], FileObject):
            objects = source
        else:
            objects = [self.write_source(source)]  # type: ignore[arg-type]
        options.setdefault("limits", Limits(vectors_per_request=per_request))
        dead_letter_file = DeadLetters(self.target, "this run") if dead_letters else None
        with client_of(self.local, **(client or {})) as load_client:
            return run(
                load_client,
                operation,
                load_client.get_index(self.name),
                objects,
                LoadOptions(dead_letters=dead_letter_file, **options),
                store,
                identity,
                observer,
                earlier_attempt=earlier_attempt,
            )

    def recreate(self) -> None:
        """Create the index after a reset of the local Vectorize."""
        create_index(self.local, self.name, DIMENSIONS)
        self.local.set_budget("100000/300")

    def dump(self) -> dict[str, str]:
        """Return the digest of each vector in the index, by ID."""
        return self.local.dump(self.name)

    def write_requests(self) -> list[RecordedRequest]:
        """Return every insert and upsert that arrived."""
        return [request for request in self.local.requests() if request.operation in ("insert", "upsert")]

    def acknowledged_requests(self) -> list[RecordedRequest]:
        """Return the inserts and upserts that were carried out, even if the client did not receive the response."""
        return [request for request in self.write_requests() if request.mutation_id]


@pytest.fixture
def books(local_vectorize: LocalVectorize, tmp_path: Path) -> BooksIndex:
    index = BooksIndex(local_vectorize, tmp_path)
    index.recreate()
    local_vectorize.clear_requests()
    return index


@pytest.fixture
def start_limited_index(tmp_path: Path) -> Iterable[Callable[..., BooksIndex]]:
    """Start a local Vectorize with lower limits than those that the load knows, and return an index on it."""
    running: list[LocalVectorize] = []

    def start(**limits: int) -> BooksIndex:
        arguments = ["--no-sync", *(f"--limit={name}={number}" for name, number in limits.items())]
        running.append(LocalVectorize.start(extra_args=arguments))
        create_index(running[-1])
        return BooksIndex(running[-1], tmp_path)

    yield start
    for local in running:
        local.stop()


@pytest.fixture(autouse=True)
def no_running_threads() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("vectorize-"):
            thread.join(20)
            assert not thread.is_alive(), thread.name
