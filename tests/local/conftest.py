"""HTTP client of these tests. It does not use the client of the provider, which could hide a mistake."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
import requests

from airflow_provider_vectorize.local.handle import LocalVectorize

DIMENSIONS = 32


class Http:
    """Sends requests to a local Vectorize with its credentials."""

    def __init__(self, local: LocalVectorize) -> None:
        self.local = local
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {local.token}"

    def url(self, path: str) -> str:
        return f"{self.local.base_url}/accounts/{self.local.account_id}/vectorize/v2/indexes{path}"

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.url(path), timeout=60, **options)

    def ok(self, method: str, path: str, **options: Any) -> Any:
        """Send a request that must succeed, and return the ``result`` of the response."""
        response = self.send(method, path, **options)
        assert response.status_code == 200, response.text
        body = response.json()
        assert body["success"] is True
        assert body["errors"] == []
        return body["result"]

    def create(self, name: str = "books", dimensions: int = DIMENSIONS, metric: str = "cosine") -> Any:
        return self.ok("POST", "", json={"name": name, "config": {"dimensions": dimensions, "metric": metric}})

    def write(self, operation: str, vectors: Iterable[dict[str, Any]], name: str = "books") -> str:
        """Send an insert or upsert, and return the mutation id."""
        result = self.ok("POST", f"/{name}/{operation}", data=ndjson(vectors), headers=NDJSON)
        return str(result["mutationId"])

    def upsert(self, *vectors: dict[str, Any], name: str = "books") -> str:
        return self.write("upsert", vectors, name)

    def insert(self, *vectors: dict[str, Any], name: str = "books") -> str:
        return self.write("insert", vectors, name)

    def info(self, name: str = "books") -> Any:
        return self.ok("GET", f"/{name}/info")

    def get(self, *ids: str, name: str = "books") -> Any:
        return self.ok("POST", f"/{name}/get_by_ids", json={"ids": list(ids)})

    def query(self, vector: list[float] | None = None, name: str = "books", **options: Any) -> Any:
        body = options if vector is None else {"vector": vector, **options}
        return self.ok("POST", f"/{name}/query", json=body)["matches"]


NDJSON = {"Content-Type": "application/x-ndjson"}


def ndjson(vectors: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(vector).encode() + b"\n" for vector in vectors)


def values(*first: float) -> list[float]:
    """Return the values of a vector with 32 dimensions: the given numbers, then zeros."""
    return [*first, *[0.0] * (DIMENSIONS - len(first))]


def vector(id_: str, *first: float, **rest: Any) -> dict[str, Any]:
    return {"id": id_, "values": values(*first), **rest}


@pytest.fixture
def http(local_vectorize: LocalVectorize) -> Http:
    return Http(local_vectorize)
