"""A key is not a URL: forty odd ones in every store, through all that reads names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import books, row, vectorize  # noqa: F401 - fixtures
from tests.storage.conftest import attach, read
from tests.storage.object_store import BUCKET as MOTO_BUCKET
from tests.storage.object_store import ObjectStore
from tests.storage.odd_keys import DECOYS, ODD_KEYS
from tests.storage.servers import BUCKET, Shop

ALL = [*ODD_KEYS, *DECOYS]


def _is_path(key: str) -> bool:
    """Whether a file can have this name: paths have no empty steps."""
    return "//" not in key and not key.startswith("/") and not _has_dots(key)


def _has_dots(key: str) -> bool:
    return "/./" in key or "/../" in key


def _azurite_takes(key: str) -> bool:
    """Azurite lists no control characters, and Azure's client takes dots and backslashes for steps of a path."""
    return not _has_dots(key) and "\\" not in key and not any(ord(one) < 32 or ord(one) == 127 for one in key)


def _s3rver_takes(key: str) -> bool:
    """S3rver keeps objects as files, and escapes some characters of its listings twice."""
    return _is_path(key) and not any(ord(one) < 32 or one in "&'`\"" for one in key)


@pytest.fixture(params=["file", "moto", "s3rver", "azurite", "google"])
def shop(request: pytest.FixtureRequest, airflow_home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Each kind of store, empty."""
    if request.param == "file":

        def put(key: str, content: bytes) -> None:
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(content)

        return Shop(f"file://{tmp_path}", None, put, lambda: shutil.rmtree(tmp_path), _is_path)
    if request.param == "moto":
        moto: ObjectStore = request.getfixturevalue("s3")
        return Shop(f"s3://{MOTO_BUCKET}", "store", moto.put, moto.reset, lambda key: True)
    if request.param == "google":
        server, fs = request.getfixturevalue("google")
        attach("gs", "cloud", fs, monkeypatch)
        server.reset()
        return Shop(f"gs://{BUCKET}", "cloud", server.put, server.reset, lambda key: True)
    if request.param == "azurite":
        fs, container = request.getfixturevalue("azurite")
        attach("abfs", "azure", fs, monkeypatch)

        def upload(key: str, content: bytes) -> None:
            container.upload_blob(key, content, overwrite=True)

        def clear() -> None:
            for name in list(container.list_blob_names()):
                container.delete_blob(name)

        clear()
        return Shop(f"abfs://{BUCKET}", "azure", upload, clear, _azurite_takes)
    connection, client = request.getfixturevalue("s3rver")
    # An id of its own: Airflow keeps the file system of a connection for as long as the process lives.
    monkeypatch.setenv("AIRFLOW_CONN_S3RVER", connection)

    def write(key: str, content: bytes) -> None:
        client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def delete() -> None:
        for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            client.delete_object(Bucket=BUCKET, Key=one["Key"])

    delete()
    return Shop(f"s3://{BUCKET}", "s3rver", write, delete, _s3rver_takes)


@pytest.fixture
def keys(shop: Shop) -> list[str]:
    """All keys that the store takes, each with one row of its own."""
    taken = []
    for number, key in enumerate(ALL):
        if shop.takes(key):
            try:
                shop.put(key, json.dumps(row(number)).encode() + b"\n")
            except Exception:  # noqa: BLE001 - the client or the server refuses such a key
                continue
            taken.append(key)
    assert len(taken) >= 40, taken
    return taken


def vector_id(key: str) -> str:
    return str(row(ALL.index(key))["id"])


def test_find_odd_key_by_name_and_by_pattern_returns_it(shop: Shop, keys: list[str]) -> None:
    from airflow_provider_vectorize import storage

    for key in keys:
        (item,) = storage.find(shop.name(key), shop.conn_id)
        assert item.key.endswith(key)
        assert json.loads(read(item))["id"] == vector_id(key), key
        assert item.uri.isprintable()

    globbed = storage.find(shop.name("**"), shop.conn_id)

    assert sorted(json.loads(read(item))["id"] for item in globbed) == sorted(map(vector_id, keys))
    assert {item.location for item in globbed} == {
        storage.find(shop.name(key), shop.conn_id)[0].location for key in keys
    }
    assert {item.version for item in globbed} == {
        storage.find(shop.name(key), shop.conn_id)[0].version for key in keys
    }, "a listing and a look agree"


def test_find_name_of_object_or_part_returns_the_same(shop: Shop, keys: list[str]) -> None:
    from airflow_provider_vectorize import storage
    from airflow_provider_vectorize.sources.parts import Part

    for item in storage.find(shop.name("**"), shop.conn_id):
        for name in (item.name, item.name_of_part(Part(0, item.size or 1))):
            assert name.encode() == json.loads(json.dumps(name)).encode()
            (again,) = storage.find(name)
            assert (again.location, again.version, read(again)) == (item.location, item.version, read(item)), name
            assert again.name == (item.name if name == item.name else name)


def test_plan_of_odd_keys_loads_each_once(shop: Shop, keys: list[str], books: LocalVectorize) -> None:  # noqa: F811
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    hook = VectorizeHook()
    plan = hook.plan("books", [shop.name(key) for key in keys], shards=3, source_conn_id=shop.conn_id)
    for kwargs in json.loads(json.dumps(plan.kwargs())):
        hook.load("books", **kwargs)
    assert sorted(books.dump("books")) == sorted(map(vector_id, keys))


def test_delete_by_odd_key_deletes_only_its_ids(
    shop: Shop,
    keys: list[str],
    books: LocalVectorize,  # noqa: F811
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator

    VectorizeHook().load("books", [shop.name(key) for key in keys], source_conn_id=shop.conn_id)
    left = set(map(vector_id, keys))
    for key in keys:
        VectorizeDeleteVectorsOperator(
            task_id="delete",
            index_name="books",
            source=shop.name(key),
            source_lines_are="vectors",
            source_conn_id=shop.conn_id,
        ).execute({})
        left -= {vector_id(key)}
        assert set(books.dump("books")) == left, key


def test_load_dead_letter_path_with_odd_source_key_raises(
    shop: Shop,
    keys: list[str],
    books: LocalVectorize,  # noqa: F811
) -> None:
    from airflow_provider_vectorize.errors import ConfigError
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    for key in keys:
        with pytest.raises(ConfigError, match="is one of the objects to be loaded"):
            VectorizeHook().load(
                "books",
                shop.name("**"),
                source_conn_id=shop.conn_id,
                on_bad_row="dead_letter",
                dead_letter_path=shop.name(key),
            )


def test_dead_letter_file_writes_to_exactly_the_odd_key(shop: Shop, keys: list[str]) -> None:
    import io

    from airflow_provider_vectorize import storage

    for key in keys:
        storage.DeadLetterFile(shop.name(key), shop.conn_id).write(io.BytesIO(key.encode()))
    for key in keys:
        (item,) = storage.find(shop.name(key), shop.conn_id)
        assert read(item) == storage.DeadLetterFile(shop.name(key), shop.conn_id).read() == key.encode()


def test_lineage_and_links_of_odd_keys_differ(shop: Shop, keys: list[str], books: LocalVectorize) -> None:  # noqa: F811
    from urllib.parse import unquote, urlsplit

    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.links.load import object_url

    hook = VectorizeHook()
    hook.load("books", [shop.name(key) for key in keys], source_conn_id=shop.conn_id)
    assert hook.loaded
    for key, one in zip(keys, hook.loaded.inputs, strict=True):
        parts = urlsplit(one.location.asset_uri)
        assert (parts.query, parts.fragment) == ("", "")
        assert unquote(parts.path).endswith(key)
        assert parts.geturl().isascii()
        if not shop.base.startswith(("file", "abfs")):
            url = urlsplit(object_url(one.location))
            assert unquote(url.query.removeprefix("prefix=") or url.path).endswith(key)
            assert not url.fragment
    assert len({one.location.asset_uri for one in hook.loaded.inputs}) == len(keys)


def test_find_object_with_the_name_of_a_folder_returns_object(shop: Shop) -> None:
    from airflow_provider_vectorize import storage

    if shop.base.startswith("file"):
        pytest.skip("a file system has no such thing")
    try:
        shop.put("night", b"object\n")
        shop.put("night/a", b"below\n")
        shop.put("night/", b"")
    except Exception as error:  # noqa: BLE001 - s3rver keeps objects as files
        pytest.skip(f"the server cannot hold them: {error}")
    assert [read(item) for item in storage.find(shop.name("nigh*"), shop.conn_id)] == [b"object\n"]
    assert [read(item) for item in storage.find(shop.name("night"), shop.conn_id)] == [b"object\n"]
    assert [read(item) for item in storage.find(shop.name("**"), shop.conn_id)] == [b"object\n", b"below\n"]
    assert [read(item) for item in storage.find(shop.name("night/*"), shop.conn_id)] == [b"below\n"]
