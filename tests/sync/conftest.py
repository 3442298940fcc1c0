"""Fixtures of the sync tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .support import SyncedIndex


@pytest.fixture
def books(local_vectorize: LocalVectorize, tmp_path: Path) -> SyncedIndex:
    synced = SyncedIndex(local_vectorize, tmp_path)
    synced.create()
    return synced
