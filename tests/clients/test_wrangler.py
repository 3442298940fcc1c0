"""wrangler, Cloudflare's command line: all of its vectorize commands."""

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
    """Installed on first use."""
    install(Path(__file__).with_name("install_wrangler.sh"))
    return TOOLS / "wrangler/node_modules/.bin/wrangler"


@pytest.fixture
def wrangler(executable: Path, local_vectorize: LocalVectorize, tmp_path: Path) -> Wrangler:
    """``wrangler vectorize ...`` on the local Vectorize: what it prints, once it has succeeded."""
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
        done = subprocess.run(
            [executable, "vectorize", *arguments],
            capture_output=True, text=True, env=environment, cwd=tmp_path, check=False, timeout=120,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stderr + done.stdout if fails else done.stdout

    return run


def printed(text: str) -> Any:
    """The JSON in what a command printed."""
    start = min(position for position in (text.find("{"), text.find("[")) if position >= 0)
    return json.JSONDecoder().raw_decode(text[start:])[0]


def file(directory: Path, *vectors: dict[str, Any]) -> str:
    path = directory / "vectors.ndjson"
    path.write_bytes(ndjson(*vectors))
    return f"--file={path}"


def test_create_get_list_info_and_delete(wrangler: Wrangler) -> None:
    created = printed(wrangler("create", "books", "--dimensions=32", "--metric=euclidean", "--json"))
    assert (created["name"], created["config"]) == ("books", {"dimensions": 32, "metric": "euclidean"})
    assert printed(wrangler("get", "books", "--json"))["name"] == "books"
    wrangler("create", "preset", "--preset=@cf/baai/bge-small-en-v1.5", "--description=small")
    listed = printed(wrangler("list", "--json"))
    assert [(one["name"], one["config"]["dimensions"]) for one in listed] == [("books", 32), ("preset", 384)]
    assert "books" in wrangler("list")
    info = printed(wrangler("info", "books", "--json"))
    assert (info["dimensions"], info["vectorCount"]) == (32, 0)
    assert "Deleted" in wrangler("delete", "books", "--force")
    assert "3005" in wrangler("get", "books", fails=True)
    assert "3000" in wrangler("get", "nobody", fails=True)
    assert "3002" in wrangler("create", "preset", "--preset=@cf/baai/bge-small-en-v1.5", fails=True)


def test_insert_upsert_and_read(wrangler: Wrangler, tmp_path: Path, local_vectorize: LocalVectorize) -> None:
    wrangler("create", "books", "--dimensions=32", "--metric=cosine")
    many = [{"id": f"v{n}", "values": values(1, n), "metadata": {"n": n}, "namespace": "s"} for n in range(25)]
    inserted = printed(wrangler("insert", "books", file(tmp_path, *many), "--batch-size=10", "--json"))
    assert inserted == {"index": "books", "count": 25}
    assert [one.vectors for one in local_vectorize.requests("insert")] == [10, 10, 5]
    assert "Successfully enqueued" in wrangler("upsert", "books", file(tmp_path, {"id": "v0", "values": values(0, 1)}))
    info = printed(wrangler("info", "books", "--json"))
    assert info["vectorCount"] == 25
    assert info["processedUpToMutation"] == local_vectorize.requests("upsert")[0].mutation_id

    got = printed(wrangler("get-vectors", "books", "--ids", "v0", "v3", "nobody"))
    assert got == [
        {"id": "v0", "values": values(0, 1)},
        {"id": "v3", "values": values(1, 3), "namespace": "s", "metadata": {"n": 3}},
    ]
    assert "mutation" in wrangler("delete-vectors", "books", "--ids", "v0", "v1").lower()
    assert local_vectorize.count("books") == 23

    first = printed(wrangler("list-vectors", "books", "--count=20", "--json"))
    assert (first["count"], first["totalCount"], first["isTruncated"]) == (20, 23, True)
    rest = printed(wrangler("list-vectors", "books", f"--cursor={first['nextCursor']}", "--json"))
    assert len({one["id"] for one in first["vectors"] + rest["vectors"]}) == 23
    assert "v10" in wrangler("list-vectors", "books")
    assert "40012" in wrangler("upsert", "books", file(tmp_path, {"id": "x", "values": [1]}), fails=True)


def test_query_and_metadata_indexes(wrangler: Wrangler, tmp_path: Path, local_vectorize: LocalVectorize) -> None:
    wrangler("create", "books", "--dimensions=32", "--metric=cosine")
    wrangler("create-metadata-index", "books", "--propertyName=n", "--type=number")
    wrangler("create-metadata-index", "books", "--propertyName=s", "--type=string")
    assert printed(wrangler("list-metadata-index", "books", "--json")) == [
        {"propertyName": "n", "indexType": "Number"},
        {"propertyName": "s", "indexType": "String"},
    ]
    wrangler("delete-metadata-index", "books", "--propertyName=s")
    assert '"s"' not in wrangler("list-metadata-index", "books", "--json")
    assert "40005" in wrangler("delete-metadata-index", "books", "--propertyName=p", fails=True)
    many = ({"id": f"v{n}", "values": values(1, n), "metadata": {"n": n}, "namespace": f"s{n % 2}"} for n in range(9))
    wrangler("upsert", "books", file(tmp_path, *many))

    vector = ["--vector", *map(str, values(1))]
    found = printed(wrangler("query", "books", *vector))
    assert [match["id"] for match in found["matches"]] == [f"v{n}" for n in range(5)]
    found = printed(
        wrangler(
            "query", "books", *vector, "--top-k=3", "--return-values", "--return-metadata=all", "--namespace=s1",
            "--filter", '{"n": {"$gt": 2}}',
        )
    )  # fmt: skip
    assert [(m["id"], m["metadata"], m["values"]) for m in found["matches"]] == [
        (f"v{n}", {"n": n}, values(1, n)) for n in (3, 5, 7)
    ]
    found = printed(wrangler("query", "books", "--vector-id=v8", "--top-k=1", "--return-metadata=indexed"))
    assert [(match["id"], match["metadata"]) for match in found["matches"]] == [("v8", {"n": 8})]
