"""Helpers of the load tests: sources, checkpoint stores, and the expected content of an index."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import zstandard

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.pacing import Clock
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.sources.compression import open_text, raise_source_errors
from airflow_provider_vectorize.sources.lines import Text
from airflow_provider_vectorize.visibility.monitor import IndexMonitor, WaitRequest
from airflow_provider_vectorize.visibility.rule import MarkerKind
from airflow_provider_vectorize.visibility.verdict import Verdict
from airflow_provider_vectorize.visibility.waits import waits_for

DIMENSIONS = 32
Row = dict[str, Any]


class FileObject:
    """A file as a source object, without Airflow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.uri = self.key = self.identity = path.as_uri()
        self.encoding = ""
        self.version = self.current_version()
        self.size = path.stat().st_size if path.exists() else None

    def current_version(self) -> str:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return "gone"
        return f"{status.st_size}:{status.st_mtime_ns}"

    @contextmanager
    def open_file(self, block_bytes: int | None = None) -> Iterator[IO[bytes]]:
        with open(self._path, "rb") as file:
            yield file

    def read(self, start: int, end: int) -> bytes:
        return self._path.read_bytes()[start:end]

    @contextmanager
    def open(self, offset: int) -> Iterator[Text]:
        with raise_source_errors(self.uri), open(self._path, "rb", buffering=0) as raw:
            yield open_text(raw, self.uri, offset)


class FileTarget:
    """A dead-letter file that is overwritten atomically, as storage does it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = path.as_uri()

    def read(self) -> bytes:
        return b"".join(self.pieces())

    def pieces(self, size: int | None = None) -> Iterator[bytes]:
        if self.path.exists():
            yield self.path.read_bytes()[:size]

    def write(self, content: Any) -> None:
        temporary = self.path.with_suffix(".part")
        with temporary.open("wb") as stream:
            shutil.copyfileobj(content, stream)
        temporary.replace(self.path)

    def dead_letters(self) -> list[Row]:
        """Return the dead letters in the file."""
        return [json.loads(line) for line in self.read().splitlines()]


class FileStore:
    """A checkpoint store in a file, which survives a killed process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Any:
        return json.loads(self._path.read_text()) if self._path.exists() else None

    def save(self, value: dict[str, Any]) -> None:
        temporary = self._path.with_suffix(".part")
        temporary.write_text(json.dumps(value))
        temporary.replace(self._path)

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)


class MemoryStore:
    """A checkpoint store in memory, which checks that each checkpoint is plain JSON."""

    def __init__(self) -> None:
        self.saved: list[dict[str, Any]] = []
        self.value: Any = None

    def load(self) -> Any:
        return self.value

    def save(self, value: dict[str, Any]) -> None:
        self.value = json.loads(json.dumps(value))
        assert self.value == value, "a checkpoint has to be plain JSON"
        self.saved.append(self.value)

    def clear(self) -> None:
        self.value = None


def credentials_of(local: LocalVectorize) -> Credentials:
    return Credentials(local.account_id, local.token, base_url=local.base_url)


#: Retries at once, so that a test does not take longer.
IMPATIENT = RetryPolicy(total=60, first=0.01, longest=0.05)


#: Turns waiting for late requests off, because these tests have none.
NO_WAIT = Limits(late_seconds=0)


def client_of(local: LocalVectorize, **options: Any) -> VectorizeClient:
    return VectorizeClient(credentials_of(local), **{"retry": IMPATIENT, "limits": NO_WAIT, **options})


class Monitor:
    """Wait for receipts as a sensor in poke mode does, on a clock that jumps from check to check.

    :param local: The local Vectorize.
    :param mutations: The receipts.
    :param marker: The kind of marker, see the sensor.
    :param seconds: Seconds between two checks. Default: 10.
    """

    def __init__(
        self, local: LocalVectorize, *mutations: Any, marker: MarkerKind = "delete", seconds: float = 10.0
    ) -> None:
        self._now, self._seconds = 0.0, seconds
        clock = Clock(now=lambda: self._now)
        self.waits = tuple(waits_for(list(mutations), None))
        self._request = WaitRequest(self.waits, marker)
        name = self.waits[0].index_name
        self._monitor = IndexMonitor(client_of(local, retry=RetryPolicy(total=0), reserve=0, clock=clock), name)

    def check(self) -> Verdict:
        """Check once whether the mutations are visible."""
        self._now += self._seconds
        verdicts, _ = self._monitor.check({"sensor": self._request})
        return verdicts["sensor"]

    def close(self) -> None:
        self._monitor.close()


def make_rows(count: int, *, first: int = 0, dimensions: int = DIMENSIONS, seed: int = 0, **more: Any) -> list[Row]:
    """Return rows with the IDs ``v0``, ``v1`` … and random float64 values.

    :param more: Further keys of each row.
    """
    values = np.random.default_rng(seed).standard_normal((count, dimensions))
    return [{"id": f"v{first + number}", "values": values[number].tolist(), **more} for number in range(count)]


def ndjson(rows: Iterable[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write_object(path: Path, content: bytes) -> Path:
    """Write a file, compressed as its name says."""
    if path.suffix == ".gz":
        content = gzip.compress(content, 1)
    elif path.suffix == ".zst":
        content = zstandard.ZstdCompressor(1).compress(content)
    path.write_bytes(content)
    return path


def expected_dump(
    rows: Iterable[Row], operation: str = "upsert", before: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the expected content of an index: the digest of each vector, by ID. It shares no code with the load.

    :param before: The content before the rows are written.
    """
    index = dict(before or {})
    for row in rows:
        if operation == "upsert" or row["id"] not in index:
            index[row["id"]] = LocalVectorize.digest(row["values"], row.get("namespace"), row.get("metadata"))
    return index


def create_index(local: LocalVectorize, name: str = "books", dimensions: int = DIMENSIONS) -> None:
    with client_of(local) as client:
        client.create_index(name, dimensions=dimensions, metric="cosine")
