"""Workers KV of the local Vectorize, with Cloudflare's SDK and with wrangler."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import cloudflare
import pytest
from cloudflare import Cloudflare

from airflow_provider_vectorize.local.handle import LocalVectorize

from .test_wrangler import PATH, executable  # noqa: F401 - a fixture

pytestmark = pytest.mark.clients
NAMESPACE = "0f2ac74b498b48028cb68387c421e279"
VALUE = '{"index": "docs-a", "model": "ä"}'


def test_sdk_writes_and_reads_a_value(local_vectorize: LocalVectorize) -> None:
    client = Cloudflare(api_token=local_vectorize.token, base_url=local_vectorize.base_url, max_retries=0)
    place = {"account_id": local_vectorize.account_id, "namespace_id": NAMESPACE}
    values = client.kv.namespaces.values
    with pytest.raises(cloudflare.NotFoundError, match="10009"):
        values.get("docs", **place)
    values.update("docs", value=VALUE.encode(), **place)
    assert values.get("docs", **place).read().decode() == VALUE


def test_wrangler_writes_and_reads_a_value(
    local_vectorize: LocalVectorize,
    executable: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    environment = os.environ | {
        "PATH": PATH,
        "HOME": str(tmp_path),
        "CLOUDFLARE_API_BASE_URL": local_vectorize.base_url,
        "CLOUDFLARE_API_TOKEN": local_vectorize.token,
        "CLOUDFLARE_ACCOUNT_ID": local_vectorize.account_id,
        "WRANGLER_SEND_METRICS": "false",
        "CI": "1",
    }

    def kv(*arguments: str) -> str:
        process = subprocess.run(
            [executable, "kv", "key", *arguments, f"--namespace-id={NAMESPACE}", "--remote"],
            capture_output=True, text=True, env=environment, cwd=tmp_path, check=False, timeout=120,
        )  # fmt: skip
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    kv("put", "docs/live", VALUE)
    assert kv("get", "docs/live", "--text").strip() == VALUE
