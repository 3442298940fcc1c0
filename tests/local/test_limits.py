"""Limits of requests, indexes and accounts: writes at a limit are accepted, and writes over a limit are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import NDJSON, Http, ndjson, vector

COSINE = {"dimensions": 32, "metric": "cosine"}


def test_upsert_at_the_limits_is_accepted(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1) for n in range(5_000)))
    http.upsert(vector("ä" * 32, 1, namespace="n" * 64, metadata={"k": "x" * 10_232}))
    http.upsert(vector("a", 1, metadata={"ä": {"$b": 1}["$b"], "c d": {"e": [{"$x": 1}]}}))
    assert http.info()["vectorCount"] == 5_002


@pytest.fixture(scope="module")
def limited() -> Iterator[LocalVectorize]:
    """Return a server with very low limits."""
    limits = {"body_bytes": 2_000, "vectors_per_index": 3, "namespaces_per_index": 2, "indexes_per_account": 2}
    with LocalVectorize.start(extra_args=[f"--limit={name}={number}" for name, number in limits.items()]) as local:
        yield local


def test_write_over_index_or_account_limits_is_refused(limited: LocalVectorize) -> None:
    limited.reset()
    http = Http(limited)
    http.create()
    http.upsert(vector("a", 1, namespace="one"), vector("b", 1, namespace="two"))
    assert http.info()["vectorCount"] == 2

    def code(*vectors: dict[str, Any]) -> int:
        response = http.send("POST", "/books/upsert", data=ndjson(vectors), headers=NDJSON)
        return int(response.json()["errors"][0]["code"]) if response.status_code != 200 else 200

    assert code(vector("c", 1, namespace="three")) == 40014
    assert code(vector("c", 1), vector("d", 1)) == 40011
    assert code(vector("a", 2, namespace="one"), vector("c", 1)) == 200
    http.create("two")
    full = http.send("POST", "", json={"name": "three", "config": COSINE})
    assert (full.status_code, full.json()["errors"][0]["code"]) == (400, 3004)


@pytest.mark.parametrize("chunked", [False, True])
def test_body_over_size_limit_is_refused(limited: LocalVectorize, chunked: bool) -> None:
    limited.reset()
    http = Http(limited)
    http.create()
    body = ndjson([vector("a", 1)]) + b" " * 2_000
    response = http.send("POST", "/books/upsert", data=iter([body]) if chunked else body, headers=NDJSON)
    assert response.status_code == 413
    assert response.json()["success"] is False
