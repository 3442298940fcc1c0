"""Calls of a Node client against local Vectorize, through ``call_node_client.mjs``."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.local.handle import LocalVectorize

from ..node import PATH, TOOLS, install

HERE = Path(__file__).parent


@dataclass(frozen=True)
class NodeError:
    """An error that a client raised. ``status`` and ``codes`` are those of the response."""

    name: str
    message: str
    status: int | None
    codes: list[int]


class NodeClient:
    """A Node client with the address and the credentials of a local Vectorize.

    :param name: ``cloudflare`` or ``mastra``.
    """

    def __init__(self, name: str, local: LocalVectorize) -> None:
        install(HERE / "install_node_clients.sh")
        self.local = local
        self._name = name
        self._environment = os.environ | {
            "PATH": PATH,
            "CLOUDFLARE_BASE_URL": local.base_url,
            "CLOUDFLARE_API_TOKEN": local.token,
            "CLOUDFLARE_ACCOUNT_ID": local.account_id,
        }

    def try_calls(self, *calls: tuple[Any, ...]) -> list[Any]:
        """Call methods in order, each a tuple of its name and arguments, and return their results or a NodeError."""
        request = {"client": self._name, "folder": str(TOOLS / "node_clients"), "calls": calls}
        process = subprocess.run(
            ["node", HERE / "call_node_client.mjs"],
            input=json.dumps(request), capture_output=True, text=True, env=self._environment, check=False, timeout=120,
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
        answers = json.loads(process.stdout)
        return [NodeError(**answer["error"]) if "error" in answer else answer["value"] for answer in answers]

    def call(self, *calls: tuple[Any, ...]) -> list[Any]:
        """Call methods that must succeed."""
        results = self.try_calls(*calls)
        assert not any(isinstance(result, NodeError) for result in results), results
        return results
