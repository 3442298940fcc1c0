"""Helpers of the sync tests: a state folder in memory, and a sync into an index on the local Vectorize."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.pacing import Clock
from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.load.progress import Observer
from airflow_provider_vectorize.local.handle import LocalVectorize, RecordedRequest
from airflow_provider_vectorize.sync.folder import CURRENT
from airflow_provider_vectorize.sync.log import LOG
from airflow_provider_vectorize.sync.options import SyncOptions
from airflow_provider_vectorize.sync.run import SyncRun
from airflow_provider_vectorize.sync.state import State, read_state
from airflow_provider_vectorize.visibility.monitor import IndexMonitor
from tests.support import FileObject, FileTarget, Row, client_of, create_index, ndjson, write_object


class MemoryFolder:
    """A state folder in memory."""

    uri = "memory://state"

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.denied: set[str] = set()  #: Names that cannot be read.

    def read(self, name: str) -> bytes | None:
        if name in self.denied:
            raise SourceError(f"{self.uri}/{name} cannot be read: permission denied.")
        return self.content.get(name)

    def download(self, name: str, target: IO[bytes]) -> bool:
        content = self.read(name)
        target.write(content or b"")
        target.flush()
        return content is not None

    def write(self, name: str, content: IO[bytes]) -> None:
        self.content[name] = content.read()

    def list(self, prefix: str) -> Iterator[str]:
        return iter([name for name in self.content if name.startswith(prefix)])

    def delete(self, name: str) -> None:
        self.content.pop(name, None)

    @property
    def state(self) -> State:
        """Return the committed state."""
        state = read_state(self)
        assert state is not None
        return state


class PausingFolder(MemoryFolder):
    """A state folder in memory as one run sees it, with pauses where other runs can come between.

    :param folder: The folder of all runs.
    :param probe: Called while ``current.json`` is on its way, and between the reads of the state and of the logs.
    """

    def __init__(self, folder: MemoryFolder, probe: Callable[[str], None]) -> None:
        self.content, self.denied, self._probe = folder.content, folder.denied, probe

    def write(self, name: str, content: IO[bytes]) -> None:
        if name == CURRENT:
            self._probe(f"during write {name}")
        super().write(name, content)

    def list(self, prefix: str) -> Iterator[str]:
        if prefix == LOG:
            self._probe(f"before list {prefix}")
        return super().list(prefix)


class DeadLetterSink:
    """A dead-letter file that is discarded."""

    class target:  # noqa: N801 - it stands for a file
        uri = "memory://dead-letters"

    size, digest = 0, ""

    def start(self) -> None: ...

    def add(self, rows: Any) -> None:
        for _ in rows:
            pass


class JumpingClock:
    """A clock whose waits end at once and advance its time."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def now(self) -> float:
        return time.monotonic() + self._skipped

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self._skipped += seconds
        return event.is_set()


class SyncedIndex:
    """An index, and helpers that sync into it and inspect it.

    :param local: The local Vectorize.
    :param path: Folder for the source and the dead-letter file.
    """

    def __init__(self, local: LocalVectorize, path: Path, name: str = "books") -> None:
        self.local = local
        self.path = path
        self.name = name
        self.folder = MemoryFolder()
        self.target = FileTarget(path / "bad.jsonl")

    def write(self, name: str, rows: Iterable[Row] | bytes) -> None:
        """Write an object of the source."""
        write_object(self.path / name, rows if isinstance(rows, bytes) else ndjson(rows))

    def remove(self, name: str) -> None:
        (self.path / name).unlink()

    def objects(self) -> Sequence[FileObject]:
        """Return the objects of the source, by name."""
        return [FileObject(path) for path in sorted(self.path.glob("*.ndjson*"))]

    def run(
        self,
        *,
        objects: Sequence[Any] | None = None,
        folder: MemoryFolder | None = None,
        probe: Callable[[str], None] = lambda event: None,
        limits: Limits | None = None,
        dead_letters: bool = False,
        load: dict[str, Any] | None = None,
        observer: Observer = lambda progress: None,
        **options: Any,
    ) -> SyncRun:
        """Return a run of the sync that did not start yet."""
        limits = limits or Limits(vectors_per_request=10, ids_per_delete=5, late_seconds=0)
        clock = JumpingClock()
        jumping = {"limits": limits, "clock": Clock(clock.now, clock.wait)}
        letters = DeadLetters(self.target, "this run") if dead_letters else None
        return SyncRun(
            lambda: client_of(self.local, **jumping),
            lambda: IndexMonitor(client_of(self.local, **jumping), self.name),
            self.name,
            self.objects() if objects is None else objects,
            folder or self.folder,
            SyncOptions(load=LoadOptions(limits=limits, dead_letters=letters, **(load or {})), **options),
            observer=observer,
            probe=probe,
        )

    def sync(self, **options: Any) -> dict[str, Any]:
        """Sync, and return the result."""
        return self.run(**options).run().to_dict()

    def counts(self, **options: Any) -> dict[str, int]:
        """Sync, and return the counts that are not 0."""
        names = ("added", "changed", "unchanged", "vanished", "deleted", "withheld", "unknown", "duplicates")
        result = self.sync(**options)
        return {name: result[name] for name in names if result[name]}

    def create(self) -> None:
        """Create the index."""
        create_index(self.local, self.name)
        self.local.set_budget("100000/300")
        self.local.clear_requests()

    def client(self) -> VectorizeClient:
        """Return a client of another writer."""
        return client_of(self.local)

    @staticmethod
    def ndjson(rows: Iterable[Row]) -> bytes:
        return ndjson(rows)

    def dump(self) -> dict[str, str]:
        """Return the digest of each vector in the index, by ID."""
        return self.local.dump(self.name)

    def written(self) -> list[RecordedRequest]:
        """Return all writes since the last call."""
        writes = [one for one in self.local.requests() if one.operation in ("insert", "upsert", "delete_by_ids")]
        self.local.clear_requests()
        return writes
