"""All methods of cloudflare-vectorize from PyPI, against local Vectorize."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from ..node import TOOLS, install
from .conftest import ndjson, values

pytestmark = pytest.mark.clients
HERE = Path(__file__).parent
BOOKS = {"index_name": "books"}
CREATE = ("create_index", {"name": "books", "dimensions": 32, "metric": "cosine", "description": "of all sorts"})


class Client:
    """The client, with the address and the credentials of a local Vectorize."""

    def __init__(self, local: LocalVectorize) -> None:
        install(HERE / "install_cloudflare_vectorize.sh", needs="uv")
        self._environment = os.environ | {
            "PYTHONPATH": str(TOOLS / "cloudflare_vectorize"),
            "BASE_URL": f"{local.base_url}/accounts/{local.account_id}/vectorize/v2",
            "ACCOUNT_ID": local.account_id,
            "API_TOKEN": local.token,
        }

    def try_calls(self, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Call methods in order, and return ``{"value": ...}`` or ``{"error": ...}`` for each."""
        process = subprocess.run(
            [sys.executable, HERE / "call_cloudflare_vectorize.py"],
            input=json.dumps(calls), capture_output=True, text=True, env=self._environment, check=False, timeout=60,
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
        return list(json.loads(process.stdout))

    def call(self, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        """Call methods that must succeed, and return the ``result`` of each response."""
        answers = self.try_calls(*calls)
        assert not any("error" in answer for answer in answers), answers
        return [answer["value"]["result"] for answer in answers]


@pytest.fixture
def client(local_vectorize: LocalVectorize) -> Client:
    return Client(local_vectorize)


def write(method: str, *vectors: dict[str, Any], **options: Any) -> tuple[str, dict[str, Any]]:
    return method, {**BOOKS, "vectors_data": ndjson(*vectors).decode(), **options}


def test_cloudflare_vectorize_creates_lists_reads_and_deletes_indexes(client: Client) -> None:
    created, listed, fetched, info, _, remaining = client.call(
        CREATE, ("list_indexes", {}), ("get_index", BOOKS), ("get_index_info", BOOKS), ("delete_index", BOOKS),
        ("list_indexes", {}),
    )  # fmt: skip
    assert created["config"] == {"dimensions": 32, "metric": "cosine"}
    assert listed == [created]
    assert fetched == created
    assert (info["dimensions"], info["vectorCount"]) == (32, 0)
    assert remaining == []


def test_cloudflare_vectorize_writes_reads_queries_and_deletes_vectors(client: Client) -> None:
    _, inserted, upserted, fetched, found, deleted, info = client.call(
        CREATE,
        write("insert_vectors", {"id": "a", "values": values(1), "metadata": {"title": "Äpfel"}}),
        write("upsert_vectors", {"id": "b", "values": values(0, 1)}, namespace="n"),
        ("get_vectors", {**BOOKS, "vector_ids": ["a", "missing", "b"]}),
        ("query_vectors", {**BOOKS, "vector": values(0, 1), "namespace": "n", "return_values": True}),
        ("delete_vectors", {**BOOKS, "vector_ids": ["a"]}),
        ("get_index_info", BOOKS),
    )
    assert inserted["mutationId"] != upserted["mutationId"]
    assert fetched == [
        {"id": "a", "values": values(1), "metadata": {"title": "Äpfel"}},
        {"id": "b", "values": values(0, 1), "namespace": "n"},
    ]
    assert found["matches"] == [{"id": "b", "score": 1.0, "values": values(0, 1), "namespace": "n"}]
    assert (info["vectorCount"], info["processedUpToMutation"]) == (1, deleted["mutationId"])


def test_cloudflare_vectorize_creates_filters_by_and_deletes_metadata_indexes(client: Client) -> None:
    rows = [{"id": f"v{n}", "values": values(1, n), "metadata": {"n": n}} for n in range(4)]
    query = {**BOOKS, "vector": values(1), "top_k": 1, "filter": {"n": {"$gte": 2}}, "return_metadata": "indexed"}
    _, created, _, listed, found, _, remaining = client.call(
        CREATE,
        ("create_metadata_index", {**BOOKS, "property_name": "n", "index_type": "number"}),
        write("upsert_vectors", *rows),
        ("list_metadata_indexes", BOOKS),
        ("query_vectors", query),
        ("delete_metadata_index", {**BOOKS, "property_name": "n"}),
        ("list_metadata_indexes", BOOKS),
    )
    assert created["mutationId"]
    assert listed == {"metadataIndexes": [{"propertyName": "n", "indexType": "Number"}]}
    assert [(match["id"], match["metadata"]) for match in found["matches"]] == [("v2", {"n": 2})]
    assert remaining == {"metadataIndexes": []}


def test_cloudflare_vectorize_errors_name_the_status(client: Client) -> None:
    missing, _, wrong = client.try_calls(
        ("get_index_info", BOOKS), CREATE, write("upsert_vectors", {"id": "a", "values": [1.0]})
    )
    assert missing["error"].startswith("APIError: HTTP request failed: 404")
    assert wrong["error"].startswith("APIError: HTTP request failed: 400")
