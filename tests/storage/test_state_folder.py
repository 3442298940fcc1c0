"""Tests of the folder of a sync's state: S3 and local files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from airflow_provider_vectorize.errors import ConfigError, SourceError

from .conftest import StorageFolder


def test_state_folder_reads_what_it_wrote_and_lists_and_deletes(folder: StorageFolder) -> None:
    from airflow_provider_vectorize.storage import StoredFolder

    state = StoredFolder(f"{folder.base}/state/", folder.conn_id)
    assert state.read("current.json") is None
    assert not state.download("current.json", io.BytesIO())
    assert list(state.list("")) == []
    large = bytes(3 << 20)
    for content in (b"old", large, b"new"):
        state.write("current.json", io.BytesIO(content))
        assert state.read("current.json") == content
    state.write("log/run-1/00000000.json.gz", io.BytesIO(large))
    target = io.BytesIO()
    assert state.download("log/run-1/00000000.json.gz", target)
    assert target.getvalue() == large
    assert sorted(state.list("")) == ["current.json", "log/run-1/00000000.json.gz"]
    assert list(state.list("log/")) == ["log/run-1/00000000.json.gz"]
    for _ in range(2):
        state.delete("log/run-1/00000000.json.gz")
    assert list(state.list("log/")) == []
    assert folder.get("state/current.json") == b"new"


def test_state_folder_denied_read_is_not_missing(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import StoredFolder

    state = StoredFolder(str(tmp_path / "state"), None)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "current.json").mkdir()  # Reading it fails, also for root.

    with pytest.raises(SourceError, match=r"current\.json cannot be read"):
        state.read("current.json")


def test_state_folder_refuses_patterns(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import StoredFolder

    with pytest.raises(ConfigError, match="needs the name of one folder"):
        StoredFolder(str(tmp_path / "*"), None)
