"""Tests of the folder of a sync's state, and of the object of a pointer, in each kind of storage."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from airflow_provider_vectorize.errors import ConfigError, SourceError
from tests.storage.conftest import attach_file_system
from tests.storage.object_store import BUCKET as MOTO_BUCKET
from tests.storage.servers import BUCKET


@pytest.fixture(params=["file", "s3", "google", "azurite"])
def place(
    request: pytest.FixtureRequest, airflow_home: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str | None]:
    """Return the URI of an empty place in each kind of storage, and its connection."""
    if request.param == "file":
        return tmp_path.as_uri(), None
    if request.param == "s3":
        request.getfixturevalue("s3")
        return f"s3://{MOTO_BUCKET}", "store"
    if request.param == "google":
        server, fs = request.getfixturevalue("google")
        attach_file_system("gs", "cloud", fs, monkeypatch)
        server.reset()
        return f"gs://{BUCKET}", "cloud"
    fs, container = request.getfixturevalue("azurite")
    attach_file_system("abfs", "azure", fs, monkeypatch)
    for name in list(container.list_blob_names()):
        container.delete_blob(name)
    return f"abfs://{BUCKET}", "azure"


def test_state_folder_reads_what_it_wrote_and_lists_and_deletes(place: tuple[str, str | None]) -> None:
    from airflow_provider_vectorize.storage import StoredFolder

    base, conn_id = place
    state = StoredFolder(f"{base}/state/", conn_id)
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
    assert state.read("current.json") == b"new"


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


@pytest.mark.parametrize("uri", ["/", "//", "file:///", "file://", "s3://"])
def test_state_folder_refuses_the_root_of_a_store(airflow_home: object, uri: str) -> None:
    """Such a name became a folder in the working directory of the worker, which the next worker does not find."""
    from airflow_provider_vectorize.storage import StoredFolder

    with pytest.raises(ConfigError, match="names no folder"):
        StoredFolder(uri, None)


def test_stored_value_reads_what_it_wrote_and_names_no_connection(place: tuple[str, str | None]) -> None:
    from airflow_provider_vectorize.storage import StoredValue

    base, conn_id = place
    scheme, _, path = base.partition("://")
    value = StoredValue(f"{scheme}://{f'{conn_id}@' if conn_id else ''}{path}/pointers/docs [1]*.json")
    assert value.uri == f"{base}/pointers/docs [1]*.json"
    assert value.read() is None
    for content in (b'{"index": "docs-a"}', b"", b'{"index": "docs-b"}'):
        value.write(content)
        assert value.read() == content


def test_stored_value_denied_read_is_not_missing(airflow_home: object, tmp_path: Path) -> None:
    from airflow_provider_vectorize.storage import StoredValue

    (tmp_path / "docs.json").mkdir()  # Reading it fails, also for root.
    with pytest.raises(SourceError, match=r"docs\.json cannot be read"):
        StoredValue(str(tmp_path / "docs.json")).read()
    with pytest.raises((SourceError, ConfigError), match=r"docs\.json"):
        StoredValue(str(tmp_path / "docs.json")).write(b"{}")
