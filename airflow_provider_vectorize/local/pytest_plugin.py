"""Fixtures to test against a local Vectorize. They cost nothing until a test asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize


@pytest.fixture(scope="session")
def local_vectorize_server() -> Iterator[LocalVectorize]:
    """One local Vectorize for the whole session, with whatever the tests before left in it."""
    # A test needs no data that survive a power cut, and is much faster without.
    with LocalVectorize.start(extra_args=["--no-sync"]) as local:
        yield local


@pytest.fixture
def local_vectorize(local_vectorize_server: LocalVectorize) -> LocalVectorize:
    """An empty local Vectorize with a lag of 0: reads see the writes acknowledged before them."""
    local_vectorize_server.reset()
    return local_vectorize_server
