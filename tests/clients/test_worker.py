"""The Worker of docs/switch-over.md matches Cloudflare's types, and takes index and model from one read."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.node import PATH, TOOLS, install

pytestmark = pytest.mark.clients
PAGE = (Path(__file__).parents[2] / "docs/switch-over.md").read_text()
FOLDER = TOOLS / "workers_types"
COMPILER_OPTIONS = {
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "target": "es2022",
    "module": "es2022",
    "moduleResolution": "bundler",
    "lib": ["es2022"],
    "types": ["@cloudflare/workers-types"],
    "typeRoots": [str(FOLDER / "node_modules")],
}
#: Calls the Worker's function with bindings that only name themselves.
PROGRAM = """
import { liveIndex } from "./worker.js";
const values = JSON.parse(process.argv[2]);
console.warn = () => undefined;
for (const value of values) {
  let reads = 0;
  const POINTERS = { get: async () => { reads += 1; return value; } };
  const { index, model } = await liveIndex({ DOCS_A: "docs-a", DOCS_B: "docs-b", POINTERS });
  console.log(JSON.stringify([index, model, reads]));
}
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the Worker of the page, compiled, after its types were checked."""
    install(Path(__file__).with_name("install_workers_types.sh"))
    folder = tmp_path_factory.mktemp("worker")
    (source,) = re.findall(r"^```typescript\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (folder / "worker.ts").write_text(source)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "main.js").write_text(PROGRAM)
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": COMPILER_OPTIONS, "files": ["worker.ts"]}))
    (folder / "node_modules").symlink_to(FOLDER / "node_modules")
    run_node(folder, FOLDER / "node_modules/typescript/bin/tsc", "-p", folder)
    return folder


def run_node(folder: Path, *arguments: object) -> str:
    process = subprocess.run(
        ["node", *map(str, arguments)],
        cwd=folder, env=os.environ | {"PATH": PATH}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def live(folder: Path, *pointers: Any) -> list[Any]:
    """Return index, model and number of reads for each value of the pointer."""
    return [json.loads(line) for line in run_node(folder, "main.js", json.dumps(pointers)).splitlines()]


def test_worker_takes_index_and_model_from_one_read(worker: Path) -> None:
    assert live(worker, {"index": "docs-b", "previous": "docs-a", "published_at": "", "model": "large"}) == [
        ["docs-b", "large", 1]
    ]


def test_worker_falls_back_to_its_default_index_and_model(worker: Path) -> None:
    default = ["docs-a", "@cf/baai/bge-base-en-v1.5", 1]
    assert (
        live(worker, None, {"index": "docs-z", "model": "large"}, {"index": "docs-b", "model": None}) == [default] * 3
    )
