"""Fixtures of the sync tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.support import create_index

from .support import SyncedIndex


@pytest.fixture
def books(local_vectorize: LocalVectorize, tmp_path: Path) -> SyncedIndex:
    create_index(local_vectorize, "books")
    local_vectorize.set_budget("100000/300")
    local_vectorize.clear_requests()
    return SyncedIndex(local_vectorize, tmp_path)
