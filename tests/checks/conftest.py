"""Fixtures of the tests of checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

from .support import CheckedIndex


@pytest.fixture
def books(local_vectorize: LocalVectorize, tmp_path: Path) -> CheckedIndex:
    index = CheckedIndex(local_vectorize, tmp_path)
    index.create()
    return index
