"""Test that no index is deleted if the live one does not exist, as after a typo in a pointer that a person edited."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.errors import SwitchOverError
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.switch_over.prune import prune_unused
from airflow_provider_vectorize.switch_over.slots import delete_idle_slot
from tests.support import client_of

from .support import FilePointerStore, create_complete, names, point_to

Delete = Callable[[VectorizeClient, FilePointerStore], Any]
DELETIONS: dict[str, Delete] = {
    "prune": lambda client, store: prune_unused(client, store, prefix="docs-", keep=1, min_age=timedelta(0)),
    "replace": lambda client, store: delete_idle_slot(client, store, "docs-a", timedelta(0)),
}


@pytest.mark.parametrize("deletion", DELETIONS)
@pytest.mark.parametrize("live", ["docs-bb", "docs-b ", "docs-b\n", "docs-\u00a0b"])
def test_deletion_with_a_pointer_to_a_missing_index_is_refused(
    local_vectorize: LocalVectorize, tmp_path: Path, deletion: str, live: str
) -> None:
    store = FilePointerStore(tmp_path / "pointer")
    with client_of(local_vectorize) as client:
        create_complete(client, "docs-a", "docs-b", "docs-c", pointer=store.uri)
        point_to(store, live)

        with pytest.raises(SwitchOverError, match=r"which (one|index).* is (live is )?unknown"):
            DELETIONS[deletion](client, store)

        assert names(client) == ["docs-a", "docs-b", "docs-c"]


@pytest.mark.parametrize("deletion", DELETIONS)
def test_deletion_beside_an_existing_live_index_succeeds(
    local_vectorize: LocalVectorize, tmp_path: Path, deletion: str
) -> None:
    store = FilePointerStore(tmp_path / "pointer")
    with client_of(local_vectorize) as client:
        create_complete(client, "docs-a", "docs-b", "docs-c", pointer=store.uri)
        point_to(store, "docs-b")

        assert DELETIONS[deletion](client, store)

        assert names(client) == ["docs-b", "docs-c"]
