"""All ``wrangler vectorize`` commands, against local Vectorize."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from ..node import PATH, TOOLS, install
from .conftest import ndjson, values

pytestmark = pytest.mark.clients
Wrangler = Callable[..., str]


@pytest.fixture(scope="session")
def executable() -> Path:
    """Return the path of wrangler. It is installed on first use."""
    install(Path(__file__).with_name("install_wrangler.sh"))
    return TOOLS / "wrangler/node_modules/.bin/wrangler"


@pytest.fixture
def wrangler(executable: Path, local_vectorize: LocalVectorize, tmp_path: Path) -> Wrangler:
    """Return a function that runs ``wrangler vectorize`` against local Vectorize and returns its output."""
    environment = os.environ | {
        "PATH": PATH,
        "CLOUDFLARE_API_BASE_URL": local_vectorize.base_url,
        "CLOUDFLARE_API_TOKEN": local_vectorize.token,
        "CLOUDFLARE_ACCOUNT_ID": local_vectorize.account_id,
        "WRANGLER_SEND_METRICS": "false",
        "WRANGLER_LOG_PATH": str(tmp_path / "logs"),
        "HOME": str(tmp_path),
        "CI": "1",
        "NO_COLOR": "1",
    }

    def run(*arguments: str, fails: bool = False) -> str:
        process = subprocess.run(
            [executable, "vectorize", *arguments],
            capture_output=True, text=True, env=environment, cwd=tmp_path, check=False, timeout=120,
        )  # fmt: skip
        assert (process.returncode != 0) == fails, process.stdout + process.stderr
        return process.stderr + process.stdout if fails else process.stdout

    return run


def json_in(text: str) -> Any:
    """Return the JSON in the output of a command."""
    start = min(position for position in (text.find("{"), text.find("[")) if position >= 0)
    return json.JSONDecoder().raw_decode(text[start:])[0]


def file_option(directory: Path, *vectors: dict[str, Any]) -> str:
    path = directory / "vectors.ndjson"
    path.write_bytes(ndjson(*vectors))
    return f"--file={path}"


def test_wrangler_creates_lists_describes_and_deletes_indexes(wrangler: Wrangler) -> None:
    created = json_in(wrangler("create", "books", "--dimensions=32", "--metric=euclidean", "--json"))
    assert (created["name"], created["config"]) == ("books", {"dimensions": 32, "metric": "euclidean"})
    assert json_in(wrangler("get", "books", "--json"))["name"] == "books"
    wrangler("create", "preset", "--preset=@cf/baai/bge-small-en-v1.5", "--description=small")
    listed = json_in(wrangler("list", "--json"))
    assert [(index["name"], index["config"]["dimensions"]) for index in listed] == [("books", 32), ("preset", 384)]
    assert "books" in wrangler("list")
    info = json_in(wrangler("info", "books", "--json"))
    assert (info["dimensions"], info["vectorCount"]) == (32, 0)
    assert "Deleted" in wrangler("delete", "books", "--force")
    assert "3005" in wrangler("get", "books", fails=True)
    assert "3000" in wrangler("get", "missing", fails=True)
    assert "3002" in wrangler("create", "preset", "--preset=@cf/baai/bge-small-en-v1.5", fails=True)


def test_wrangler_inserts_upserts_reads_and_deletes_vectors(
    wrangler: Wrangler, tmp_path: Path, local_vectorize: LocalVectorize
) -> None:
    wrangler("create", "books", "--dimensions=32", "--metric=cosine")
    many = [{"id": f"v{n}", "values": values(1, n), "metadata": {"n": n}, "namespace": "s"} for n in range(25)]
    inserted = json_in(wrangler("insert", "books", file_option(tmp_path, *many), "--batch-size=10", "--json"))
    assert inserted == {"index": "books", "count": 25}
    assert [request.vectors for request in local_vectorize.requests("insert")] == [10, 10, 5]
    assert "Successfully enqueued" in wrangler(
        "upsert", "books", file_option(tmp_path, {"id": "v0", "values": values(0, 1)})
    )
    info = json_in(wrangler("info", "books", "--json"))
    assert info["vectorCount"] == 25
    assert info["processedUpToMutation"] == local_vectorize.requests("upsert")[0].mutation_id

    fetched = json_in(wrangler("get-vectors", "books", "--ids", "v0", "v3", "missing"))
    assert fetched == [
        {"id": "v0", "values": values(0, 1)},
        {"id": "v3", "values": values(1, 3), "namespace": "s", "metadata": {"n": 3}},
    ]
    assert "mutation" in wrangler("delete-vectors", "books", "--ids", "v0", "v1").lower()
    assert local_vectorize.count("books") == 23

    first = json_in(wrangler("list-vectors", "books", "--count=20", "--json"))
    assert (first["count"], first["totalCount"], first["isTruncated"]) == (20, 23, True)
    rest = json_in(wrangler("list-vectors", "books", f"--cursor={first['nextCursor']}", "--json"))
    assert len({vector["id"] for vector in first["vectors"] + rest["vectors"]}) == 23
    assert "v10" in wrangler("list-vectors", "books")
    assert "40012" in wrangler("upsert", "books", file_option(tmp_path, {"id": "x", "values": [1]}), fails=True)


def test_wrangler_queries_and_manages_metadata_indexes(
    wrangler: Wrangler, tmp_path: Path, local_vectorize: LocalVectorize
) -> None:
    wrangler("create", "books", "--dimensions=32", "--metric=cosine")
    wrangler("create-metadata-index", "books", "--propertyName=n", "--type=number")
    wrangler("create-metadata-index", "books", "--propertyName=s", "--type=string")
    assert json_in(wrangler("list-metadata-index", "books", "--json")) == [
        {"propertyName": "n", "indexType": "Number"},
        {"propertyName": "s", "indexType": "String"},
    ]
    wrangler("delete-metadata-index", "books", "--propertyName=s")
    assert '"s"' not in wrangler("list-metadata-index", "books", "--json")
    assert "40005" in wrangler("delete-metadata-index", "books", "--propertyName=p", fails=True)
    many = ({"id": f"v{n}", "values": values(1, n), "metadata": {"n": n}, "namespace": f"s{n % 2}"} for n in range(9))
    wrangler("upsert", "books", file_option(tmp_path, *many))

    vector = ["--vector", *map(str, values(1))]
    result = json_in(wrangler("query", "books", *vector))
    assert [match["id"] for match in result["matches"]] == [f"v{n}" for n in range(5)]
    result = json_in(
        wrangler(
            "query", "books", *vector, "--top-k=3", "--return-values", "--return-metadata=all", "--namespace=s1",
            "--filter", '{"n": {"$gt": 2}}',
        )
    )  # fmt: skip
    assert [(m["id"], m["metadata"], m["values"]) for m in result["matches"]] == [
        (f"v{n}", {"n": n}, values(1, n)) for n in (3, 5, 7)
    ]
    result = json_in(wrangler("query", "books", "--vector-id=v8", "--top-k=1", "--return-metadata=indexed"))
    assert [(match["id"], match["metadata"]) for match in result["matches"]] == [("v8", {"n": 8})]
