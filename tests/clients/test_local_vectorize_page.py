"""The client examples of docs/local-vectorize.md run, with only the address and the credentials replaced."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from ..node import PATH, TOOLS, install
from .conftest import ndjson, values
from .test_wrangler import executable  # noqa: F401 - a fixture

pytestmark = pytest.mark.clients
PAGE = (Path(__file__).parents[2] / "docs/local-vectorize.md").read_text()
ADDRESS, ACCOUNT, TOKEN = "http://127.0.0.1:8787/client/v4", "0123456789abcdef0123456789abcdef", "local-token"


def example(heading: str, local: LocalVectorize) -> str:
    """Return the code block below a heading, with the address and the credentials of a local Vectorize."""
    (text,) = re.findall(rf"^### {heading}\n.*?```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(text).replace(ADDRESS, local.base_url).replace(ACCOUNT, local.account_id).replace(TOKEN, local.token)


def run_in_shell(commands: str, folder: Path) -> str:
    script = "\n".join(["set -e", *(line.removeprefix("$ ") for line in commands.splitlines())])
    environment = os.environ | {"PATH": PATH, "HOME": str(folder), "WRANGLER_SEND_METRICS": "false", "CI": "1"}
    process = subprocess.run(
        ["sh", "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_curl_example_creates_loads_and_describes_an_index(local_vectorize: LocalVectorize, tmp_path: Path) -> None:
    (tmp_path / "films.ndjson").write_bytes(ndjson({"id": "1", "values": values(1)}, {"id": "2", "values": values(2)}))
    printed = run_in_shell(example("curl", local_vectorize), tmp_path)
    assert printed.count('"success":true') + printed.count('"success": true') == 3
    assert local_vectorize.count("films") == 2


def test_wrangler_example_creates_and_lists_an_index(
    local_vectorize: LocalVectorize,
    executable: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    commands = example("wrangler", local_vectorize).replace("npx wrangler", str(executable))
    assert "books" in run_in_shell(commands, tmp_path)


@pytest.mark.parametrize(
    ("heading", "expected"), [("Cloudflare's SDK for Python", "['songs']"), ("LangChain", "id='1'")]
)
def test_python_example_prints_its_result(
    local_vectorize: LocalVectorize, capsys: pytest.CaptureFixture[str], heading: str, expected: str
) -> None:
    names: dict[str, Any] = {}
    exec(example(heading, local_vectorize), names)
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(("heading", "expected"), [("Cloudflare's SDK for Node", "[ '1' ]"), ("Mastra", "[ 'poems' ]")])
def test_node_example_prints_its_result(
    local_vectorize: LocalVectorize, tmp_path: Path, heading: str, expected: str
) -> None:
    install(Path(__file__).with_name("install_node_clients.sh"))
    (tmp_path / "node_modules").symlink_to(TOOLS / "node_clients/node_modules")
    (tmp_path / "example.mjs").write_text(example(heading, local_vectorize))
    assert run_in_shell("node example.mjs", tmp_path).strip() == expected


def test_cloudflare_vectorize_example_lists_its_index(local_vectorize: LocalVectorize, tmp_path: Path) -> None:
    install(Path(__file__).with_name("install_cloudflare_vectorize.sh"), needs="uv")
    (tmp_path / "example.py").write_text(example("cloudflare-vectorize", local_vectorize))
    printed = run_in_shell(f"PYTHONPATH={TOOLS / 'cloudflare_vectorize'} {sys.executable} example.py", tmp_path)
    assert printed.strip() == "['letters']"
