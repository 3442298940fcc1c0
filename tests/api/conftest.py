"""Clients of a local Vectorize, and a clock that advances only when a client waits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.pacing import Clock
from airflow_provider_vectorize.local.handle import LocalVectorize

DIMENSIONS = 32


class FakeTime:
    """A clock that advances when a client waits. It also advances the clock of the local Vectorize, if there is one."""

    def __init__(self, local: LocalVectorize | None = None) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.local = local
        self._lock = threading.Lock()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        with self._lock:
            self.waits.append(seconds)
            self.now += seconds
            if self.local is not None:
                self.local.shift_clock(self.now)
        return event.is_set()

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, wait=self.wait)


def credentials(local: LocalVectorize, **changes: Any) -> Credentials:
    fields = {"account_id": local.account_id, "secret": local.token, "base_url": local.base_url}
    return Credentials(**fields | changes)


def values(*first: float) -> list[float]:
    """Return the values of a vector with :data:`DIMENSIONS` dimensions: these numbers, followed by zeros."""
    return [*first, *[0.0] * (DIMENSIONS - len(first))]


def vector(id_: str, *first: float, **rest: Any) -> dict[str, Any]:
    return {"id": id_, "values": values(*first), **rest}


def ndjson(*vectors: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in vectors)


def numbered_vectors(count: int) -> Iterable[dict[str, Any]]:
    return (vector(f"v{n}", 1, n) for n in range(count))


@pytest.fixture
def fake_time(local_vectorize: LocalVectorize) -> FakeTime:
    return FakeTime(local_vectorize)


@pytest.fixture
def make_client(local_vectorize: LocalVectorize, fake_time: FakeTime) -> Iterator[Callable[..., VectorizeClient]]:
    """Return a function that creates clients.

    ``secret``, ``account_id``, ``base_url`` and ``email`` are passed to the credentials, other options to the client.
    """
    clients: list[VectorizeClient] = []

    def make(**options: Any) -> VectorizeClient:
        changes = {key: options.pop(key) for key in ("secret", "account_id", "base_url", "email") if key in options}
        clients.append(VectorizeClient(credentials(local_vectorize, **changes), **{"clock": fake_time.clock} | options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., VectorizeClient]) -> VectorizeClient:
    """Return a client of an account that has an index "books" with 32 dimensions and the metric cosine."""
    client = make_client()
    client.create_index("books", dimensions=DIMENSIONS, metric="cosine")
    return client


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies and trusted certificates that the environment of the tests sets."""
    for name in [f"{kind}_proxy" for kind in ("http", "https", "all", "no")]:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
