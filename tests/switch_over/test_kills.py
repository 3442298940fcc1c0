"""A publication, replacement or pruning that is killed at any line leaves a good pointer in Workers KV and in a file.

tests/airflow/test_pointer_kills.py does the same with an Airflow Variable.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.switch_over.pointer import PointerStore
from tests.switch_over.killing import SCENARIOS, kill_at_every_step
from tests.switch_over.support import FilePointerStore, kv_store


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kv", "file"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_switch_over_killed_at_every_line_keeps_complete_indexes(
    local_vectorize: LocalVectorize, tmp_path: Path, kind: str, scenario: str
) -> None:
    def open_store(client: VectorizeClient) -> PointerStore:
        return kv_store(client) if kind == "kv" else FilePointerStore(tmp_path / "docs.json")

    def read_files() -> list[tuple[str, bytes]]:
        return sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())

    kill_at_every_step(local_vectorize, SCENARIOS[scenario], open_store, read_stored=read_files)
