"""Fixtures for tests against local Vectorize. No server starts until a test requests one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize


@pytest.fixture(scope="session")
def local_vectorize_server() -> Iterator[LocalVectorize]:
    """Start one local Vectorize for the whole session. It is not reset between tests."""
    # Test data need not survive a power cut, and writes are much faster without syncing to disk.
    with LocalVectorize.start(extra_args=["--no-sync"]) as local:
        yield local


@pytest.fixture
def local_vectorize(local_vectorize_server: LocalVectorize) -> LocalVectorize:
    """Return an empty local Vectorize with a lag of 0: a read sees every write that was acknowledged before it."""
    local_vectorize_server.reset()
    return local_vectorize_server
