"""Tests that keys are never parsed like URLs: odd keys in every store, through everything that reads names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import books, row, vectorize  # noqa: F401 - fixtures
from tests.storage.conftest import attach_file_system, read_text
from tests.storage.object_store import BUCKET as MOTO_BUCKET
from tests.storage.object_store import ObjectStore
from tests.storage.odd_keys import DECOY_KEYS, ODD_KEYS
from tests.storage.servers import BUCKET, StoreUnderTest

ALL_KEYS = [*ODD_KEYS, *DECOY_KEYS]


def _is_path(key: str) -> bool:
    """Return whether a file can have this name. A path has no empty segments."""
    return "//" not in key and not key.startswith("/") and not _has_dots(key)


def _is_data(key: str) -> bool:
    """Return whether patterns match the key. They skip hidden objects and folders."""
    return not any(segment.startswith((".", "_")) for segment in key.split("/"))


def _has_dots(key: str) -> bool:
    return "/./" in key or "/../" in key


def _is_azurite_key(key: str) -> bool:
    """Exclude control characters, which Azurite omits, and dots and backslashes, which Azure's client resolves."""
    return (
        not _has_dots(key)
        and "\\" not in key
        and not any(ord(character) < 32 or ord(character) == 127 for character in key)
    )


def _is_s3rver_key(key: str) -> bool:
    """Exclude keys that are not paths, because s3rver stores files, and characters that it escapes twice."""
    return _is_path(key) and not any(ord(character) < 32 or character in "&'`\"" for character in key)


@pytest.fixture(params=["file", "moto", "s3rver", "azurite", "google"])
def store(
    request: pytest.FixtureRequest, airflow_home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StoreUnderTest:
    """Return an empty store of each kind."""
    if request.param == "file":

        def put(key: str, content: bytes) -> None:
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(content)

        return StoreUnderTest(f"file://{tmp_path}", None, put, lambda: shutil.rmtree(tmp_path), _is_path)
    if request.param == "moto":
        moto: ObjectStore = request.getfixturevalue("s3")
        return StoreUnderTest(f"s3://{MOTO_BUCKET}", "store", moto.put, moto.reset, lambda key: True)
    if request.param == "google":
        server, fs = request.getfixturevalue("google")
        attach_file_system("gs", "cloud", fs, monkeypatch)
        server.reset()
        return StoreUnderTest(f"gs://{BUCKET}", "cloud", server.put, server.reset, lambda key: True)
    if request.param == "azurite":
        fs, container = request.getfixturevalue("azurite")
        attach_file_system("abfs", "azure", fs, monkeypatch)

        def upload(key: str, content: bytes) -> None:
            container.upload_blob(key, content, overwrite=True)

        def clear() -> None:
            for name in list(container.list_blob_names()):
                container.delete_blob(name)

        clear()
        return StoreUnderTest(f"abfs://{BUCKET}", "azure", upload, clear, _is_azurite_key)
    connection, client = request.getfixturevalue("s3rver")
    # The connection needs its own id, because Airflow caches the file system of a connection in the process.
    monkeypatch.setenv("AIRFLOW_CONN_S3RVER", connection)

    def write(key: str, content: bytes) -> None:
        client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def delete() -> None:
        for listed in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            client.delete_object(Bucket=BUCKET, Key=listed["Key"])

    delete()
    return StoreUnderTest(f"s3://{BUCKET}", "s3rver", write, delete, _is_s3rver_key)


@pytest.fixture
def keys(store: StoreUnderTest) -> list[str]:
    """Return all keys that the store accepts. Each object holds one row with its own id."""
    accepted = []
    for number, key in enumerate(ALL_KEYS):
        if store.accepts_key(key):
            try:
                store.put(key, json.dumps(row(number)).encode() + b"\n")
            except Exception:  # noqa: BLE001 - the client or the server refuses such a key
                continue
            accepted.append(key)
    assert len(accepted) >= 40, accepted
    return accepted


def vector_id(key: str) -> str:
    return str(row(ALL_KEYS.index(key))["id"])


def test_find_odd_key_by_name_and_by_pattern_returns_it(store: StoreUnderTest, keys: list[str]) -> None:
    from airflow_provider_vectorize import storage

    for key in keys:
        (stored,) = storage.find(store.uri(key), store.conn_id)
        assert stored.key.endswith(key)
        assert json.loads(read_text(stored))["id"] == vector_id(key), key
        assert stored.uri.isprintable()

    matched = storage.find(store.uri("**"), store.conn_id)

    data_keys = [key for key in keys if _is_data(key)]
    assert sorted(json.loads(read_text(stored))["id"] for stored in matched) == sorted(map(vector_id, data_keys))
    named = [storage.find(store.uri(key), store.conn_id)[0] for key in data_keys]
    assert {stored.location for stored in matched} == {stored.location for stored in named}
    assert {stored.version for stored in matched} == {stored.version for stored in named}, (
        "a listing reports the same version as a request for the object"
    )


def test_find_name_of_object_or_part_returns_the_same(store: StoreUnderTest, keys: list[str]) -> None:
    from airflow_provider_vectorize import storage
    from airflow_provider_vectorize.sources.parts import Part

    for stored in storage.find(store.uri("**"), store.conn_id):
        for name in (stored.name, stored.name_of_part(Part(0, stored.size or 1))):
            assert name.encode() == json.loads(json.dumps(name)).encode()
            (again,) = storage.find(name)
            assert (again.location, again.version, read_text(again)) == (
                stored.location,
                stored.version,
                read_text(stored),
            ), name
            assert again.name == (stored.name if name == stored.name else name)


def test_plan_of_odd_keys_loads_each_once(store: StoreUnderTest, keys: list[str], books: LocalVectorize) -> None:  # noqa: F811
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    plan = hook.plan("books", [store.uri(key) for key in keys], shards=3, source_conn_id=store.conn_id)
    for kwargs in json.loads(json.dumps(plan.kwargs())):
        hook.load("books", **kwargs)
    assert sorted(books.dump("books")) == sorted(map(vector_id, keys))


def test_delete_by_odd_key_deletes_only_its_ids(
    store: StoreUnderTest,
    keys: list[str],
    books: LocalVectorize,  # noqa: F811
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator

    VectorizeHook().load("books", [store.uri(key) for key in keys], source_conn_id=store.conn_id)
    remaining = set(map(vector_id, keys))
    for key in keys:
        VectorizeDeleteVectorsOperator(
            task_id="delete",
            index_name="books",
            source=store.uri(key),
            source_lines_are="vectors",
            source_conn_id=store.conn_id,
        ).execute({})
        remaining -= {vector_id(key)}
        assert set(books.dump("books")) == remaining, key


def test_load_dead_letter_path_with_odd_source_key_raises(
    store: StoreUnderTest,
    keys: list[str],
    books: LocalVectorize,  # noqa: F811
) -> None:
    from airflow_provider_vectorize.errors import ConfigError
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    for key in keys:
        with pytest.raises(ConfigError, match="is one of the objects to be loaded"):
            VectorizeHook().load(
                "books",
                store.uri(key),
                source_conn_id=store.conn_id,
                on_bad_row="dead_letter",
                dead_letter_path=store.uri(key),
            )


def test_dead_letter_file_writes_to_exactly_the_odd_key(store: StoreUnderTest, keys: list[str]) -> None:
    import io

    from airflow_provider_vectorize import storage

    for key in keys:
        storage.DeadLetterFile(store.uri(key), store.conn_id).write(io.BytesIO(key.encode()))
    for key in keys:
        (stored,) = storage.find(store.uri(key), store.conn_id)
        assert read_text(stored) == storage.DeadLetterFile(store.uri(key), store.conn_id).read() == key.encode()


def test_lineage_and_links_of_odd_keys_differ(store: StoreUnderTest, keys: list[str], books: LocalVectorize) -> None:  # noqa: F811
    from urllib.parse import unquote, urlsplit

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.links.load import object_url

    hook = VectorizeHook()
    hook.load("books", [store.uri(key) for key in keys], source_conn_id=store.conn_id)
    assert hook.loaded
    for key, read in zip(keys, hook.loaded.inputs, strict=True):
        parts = urlsplit(read.location.asset_uri)
        assert (parts.query, parts.fragment) == ("", "")
        assert unquote(parts.path).endswith(key)
        assert parts.geturl().isascii()
        if not store.base.startswith(("file", "abfs")):
            url = urlsplit(object_url(read.location))
            assert unquote(url.query.removeprefix("prefix=") or url.path).endswith(key)
            assert not url.fragment
    assert len({read.location.asset_uri for read in hook.loaded.inputs}) == len(keys)


def test_find_object_with_the_name_of_a_folder_returns_object(store: StoreUnderTest) -> None:
    from airflow_provider_vectorize import storage

    if store.base.startswith("file"):
        pytest.skip("a file and a folder cannot have the same name")
    try:
        store.put("night", b"object\n")
        store.put("night/a", b"below\n")
        store.put("night/", b"")
    except Exception as error:  # noqa: BLE001 - s3rver stores objects as files
        pytest.skip(f"the server cannot hold them: {error}")
    assert [read_text(stored) for stored in storage.find(store.uri("nigh*"), store.conn_id)] == [b"object\n"]
    assert [read_text(stored) for stored in storage.find(store.uri("night"), store.conn_id)] == [b"object\n"]
    assert [read_text(stored) for stored in storage.find(store.uri("**"), store.conn_id)] == [b"object\n", b"below\n"]
    assert [read_text(stored) for stored in storage.find(store.uri("night/*"), store.conn_id)] == [b"below\n"]
