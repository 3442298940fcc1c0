"""A client on a local Vectorize, and time that passes only when somebody waits."""

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


class Time:
    """Passes when a client waits, and for the local Vectorize, too, where there is one."""

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
    """A vector of the tests' dimensions that starts with these numbers and goes on with zeros."""
    return [*first, *[0.0] * (DIMENSIONS - len(first))]


def vector(id_: str, *first: float, **rest: Any) -> dict[str, Any]:
    return {"id": id_, "values": values(*first), **rest}


def ndjson(*vectors: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in vectors)


def numbered(count: int) -> Iterable[dict[str, Any]]:
    return (vector(f"v{n}", 1, n) for n in range(count))


@pytest.fixture
def time(local_vectorize: LocalVectorize) -> Time:
    return Time(local_vectorize)


@pytest.fixture
def make_client(local_vectorize: LocalVectorize, time: Time) -> Iterator[Callable[..., VectorizeClient]]:
    """Makes clients; ``secret=``, ``account_id=`` and ``base_url=`` go to the credentials."""
    made: list[VectorizeClient] = []

    def make(**options: Any) -> VectorizeClient:
        changes = {key: options.pop(key) for key in ("secret", "account_id", "base_url", "email") if key in options}
        made.append(VectorizeClient(credentials(local_vectorize, **changes), **{"clock": time.clock} | options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., VectorizeClient]) -> VectorizeClient:
    """With an index "books" of 32 dimensions by cosine."""
    client = make_client()
    client.create_index("books", dimensions=DIMENSIONS, metric="cosine")
    return client
