"""Test that a pointer is not overwritten if another publisher moves it between its read and its write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.errors import SwitchOverError
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.switch_over.publish import publish_index
from airflow_provider_vectorize.switch_over.slots import delete_idle_slot
from tests.support import client_of

from .support import FilePointerStore, create_complete, names, point_to, read


class MovedPointerStore(FilePointerStore):
    """A pointer that another publisher moves right after the first read."""

    moved = False

    def read(self) -> bytes | None:
        content = super().read()
        if not self.moved:
            self.moved = True
            point_to(self, "docs-c", "docs-a")
        return content


@pytest.mark.parametrize(
    "write",
    [
        lambda client, store: publish_index(client, store, "docs-b", "docs-a", None),
        lambda client, store: delete_idle_slot(client, store, "docs-b", timedelta(0)),
    ],
    ids=["publish", "replace"],
)
def test_pointer_that_another_publisher_moves_is_not_overwritten(
    local_vectorize: LocalVectorize, tmp_path: Path, write: Callable[[VectorizeClient, FilePointerStore], Any]
) -> None:
    store = MovedPointerStore(tmp_path / "pointer")
    with client_of(local_vectorize) as client:
        create_complete(client, "docs-a", "docs-b", "docs-c", pointer=store.uri)
        point_to(store, "docs-a", "docs-b")

        with pytest.raises(SwitchOverError, match="was moved by another publisher at the same time") as caught:
            write(client, store)

        assert not caught.value.permanent
        assert read(store).index == "docs-c"
        assert names(client) == ["docs-a", "docs-b", "docs-c"]
