"""An index on the local Vectorize, and loads into it without Airflow."""

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
from tests.support import DIMENSIONS, FileObject, FileTarget, Row, client_of, create, ndjson, write


class Books:
    """An index of 32 dimensions."""

    name = "books"

    def __init__(self, local: LocalVectorize, folder: Path) -> None:
        self.local = local
        self.folder = folder
        self.target = FileTarget(folder / "bad.ndjson")

    def file(self, rows: Iterable[Row] | bytes, name: str = "source.ndjson") -> FileObject:
        """A source."""
        return FileObject(write(self.folder / name, rows if isinstance(rows, bytes) else ndjson(rows)))

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
        tell: Observer = lambda progress: None,
        earlier_attempt: bool = False,
        **options: Any,
    ) -> Receipt:
        """Load in small batches."""
        if isinstance(source, FileObject):
            objects: Sequence[FileObject] = [source]
        elif isinstance(source, list) and source and isinstance(source[0], FileObject):
            objects = source
        else:
            objects = [self.file(source)]  # type: ignore[arg-type]
        options.setdefault("limits", Limits(vectors_per_request=per_request))
        letters = DeadLetters(self.target, "this run") if dead_letters else None
        with client_of(self.local, **(client or {})) as one:
            return run(
                one,
                operation,
                one.get_index(self.name),
                objects,
                LoadOptions(dead_letters=letters, **options),
                store,
                identity,
                tell,
                earlier_attempt=earlier_attempt,
            )

    def dump(self) -> dict[str, str]:
        """What the index holds."""
        return self.local.dump(self.name)

    def writes(self) -> list[RecordedRequest]:
        """Every insert and upsert that arrived."""
        return [one for one in self.local.requests() if one.operation in ("insert", "upsert")]

    def acknowledged(self) -> list[RecordedRequest]:
        """Those that were answered well, whatever the client saw of it."""
        return [one for one in self.writes() if one.mutation_id]


@pytest.fixture
def books(local_vectorize: LocalVectorize, tmp_path: Path) -> Books:
    create(local_vectorize, Books.name, DIMENSIONS)
    local_vectorize.set_budget("100000/300")
    local_vectorize.clear_requests()
    return Books(local_vectorize, tmp_path)


@pytest.fixture
def smaller(tmp_path: Path) -> Iterable[Callable[..., Books]]:
    """An index on a local Vectorize with limits of its own, below those that the load knows of."""
    running: list[LocalVectorize] = []

    def start(**limits: int) -> Books:
        arguments = ["--no-sync", *(f"--limit={name}={number}" for name, number in limits.items())]
        running.append(LocalVectorize.start(extra_args=arguments))
        create(running[-1])
        return Books(running[-1], tmp_path)

    yield start
    for local in running:
        local.stop()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("vectorize-"):
            thread.join(20)
            assert not thread.is_alive(), thread.name
