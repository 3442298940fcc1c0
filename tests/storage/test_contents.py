"""Tests of content encodings, versions, connections and errors of stores."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import books, row, vectorize  # noqa: F401 - fixtures
from tests.storage.cloud_storage import BUCKET as GOOGLE
from tests.storage.cloud_storage import CloudStorage
from tests.storage.conftest import attach_file_system, read_text
from tests.storage.object_store import BUCKET, ObjectStore

TEXT = b"".join(json.dumps(row(number)).encode() + b"\n" for number in range(65))
TWICE = gzip.compress(gzip.compress(TEXT))


@pytest.fixture
def cloud(google: Any, airflow_home: Any, monkeypatch: pytest.MonkeyPatch) -> CloudStorage:
    server, fs = google
    attach_file_system("gs", "cloud", fs, monkeypatch)
    server.reset()
    return server  # type: ignore[no-any-return]


def find(source: Any, conn_id: str | None = None) -> list[Any]:
    from airflow_provider_vectorize import storage

    return storage.find(source, conn_id)


@pytest.mark.parametrize("always_decompress", [False, True])
@pytest.mark.parametrize(
    ("key", "content"),
    [("a.ndjson", gzip.compress(TEXT)), ("a.ndjson.gz", gzip.compress(TEXT)), ("a.ndjson.gz", TWICE)],
)
def test_open_content_encoding_returns_all_text_decompressed_once(
    cloud: CloudStorage, key: str, content: bytes, always_decompress: bool
) -> None:
    cloud.put(key, content, "gzip")
    cloud.always_decompress = always_decompress
    for name in (f"gs://cloud@{GOOGLE}/{key}", f"gs://cloud@{GOOGLE}/*"):
        (stored,) = find(name)
        assert read_text(stored) == TEXT
        assert read_text(stored, 1_000) == TEXT[1_000:]


@pytest.mark.parametrize("always_decompress", [False, True])
def test_open_large_encoded_object_reads_blocks_or_one_stream(cloud: CloudStorage, always_decompress: bool) -> None:
    text = b"".join(os.urandom(500).hex().encode() + b"\n" for _ in range(30_000))
    cloud.put("a.ndjson", gzip.compress(text, 1), "gzip")
    cloud.always_decompress = always_decompress
    (stored,) = find(f"gs://cloud@{GOOGLE}/a.ndjson")
    assert read_text(stored) == text


@pytest.mark.parametrize("always_decompress", [False, True])
def test_encoded_object_is_planned_loaded_and_deleted_completely(
    cloud: CloudStorage,
    books: LocalVectorize,  # noqa: F811
    always_decompress: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator
    from airflow_provider_vectorize.plan import shards

    monkeypatch.setattr(shards.split_into_shards, "__defaults__", (1_000,))
    source = cloud.put("a.ndjson", gzip.compress(TEXT), "gzip").replace("gs://", "gs://cloud@")
    cloud.always_decompress = always_decompress
    plan = VectorizeHook().plan("books", source, shards=4)
    assert plan.kwargs() == [{"source": [source]}], "the object is not split"
    assert VectorizeHook().load("books", source)["vectors"] == 65
    deletion = VectorizeDeleteVectorsOperator(
        task_id="delete", index_name="books", source=source, source_lines_are="vectors"
    )
    assert deletion.execute({})["vectors"] == 65


def test_encoded_s3_object_is_decompressed_and_not_split(
    s3: ObjectStore,
    books: LocalVectorize,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_provider_vectorize.errors import ConfigError
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.plan import shards

    monkeypatch.setattr(shards.split_into_shards, "__defaults__", (1_000,))
    for key in ("a.ndjson", "b.ndjson.gz"):
        s3.client.put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(TEXT), ContentEncoding="gzip")
    objects = find(f"s3://{BUCKET}/*", "store")
    assert [read_text(stored) for stored in objects] == [TEXT, TEXT]
    assert read_text(find(f"s3://{BUCKET}/*", "store")[0], 1_000) == TEXT[1_000:]
    plan = VectorizeHook().plan("books", f"s3://{BUCKET}/*", shards=4, source_conn_id="store")
    assert all("#bytes=" not in name for shard in plan.shards for name in shard)
    assert plan.vectors >= 65
    with pytest.raises(ConfigError, match="compressed objects can only be read whole"):
        find(f"s3://{BUCKET}/a.ndjson#bytes=0-100", "store")


def test_open_object_compressed_twice_raises(tmp_path: Path, airflow_home: Any) -> None:
    from airflow_provider_vectorize.errors import SourceError

    (tmp_path / "a.ndjson.gz").write_bytes(TWICE)
    (stored,) = find(str(tmp_path / "a.ndjson.gz"))
    with pytest.raises(SourceError, match="is compressed twice"):
        read_text(stored)


def test_find_s3_version_reads_it_unless_a_key_has_that_name(s3: ObjectStore) -> None:
    from airflow_provider_vectorize.errors import SourceError

    s3.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    ids = [s3.client.put_object(Bucket=BUCKET, Key="a.ndjson", Body=body)["VersionId"] for body in (b"old\n", b"new\n")]
    name = f"s3://store@{BUCKET}/a.ndjson?versionId={ids[0]}"
    (stored,) = find(name)
    assert read_text(stored) == b"old\n"
    assert stored.current_version() == stored.version
    (again,) = find(stored.name)
    assert read_text(again) == b"old\n"
    with pytest.raises(SourceError, match=r"a\.ndjson\?versionId="):
        find(f"s3://store@{BUCKET}/a.ndjson?versionId=00000000-0000-0000-0000-000000000000")
    s3.put(f"a.ndjson?versionId={ids[0]}", b"a key\n")
    assert read_text(find(name)[0]) == b"a key\n"


@pytest.mark.parametrize("form", ["#{}", "?generation={}"])
def test_find_gcs_generation_reads_it(cloud: CloudStorage, form: str) -> None:
    from airflow_provider_vectorize.errors import SourceError

    cloud.put("a.ndjson", b"old\n")
    cloud.put("a.ndjson", b"new\n")
    old = cloud.versions["a.ndjson"][0].generation
    (stored,) = find(f"gs://cloud@{GOOGLE}/a.ndjson{form.format(old)}")
    assert read_text(stored) == b"old\n"
    with pytest.raises(SourceError, match="no such version"):
        find(f"gs://cloud@{GOOGLE}/a.ndjson{form.format(12)}")


def test_find_part_of_another_version_raises_even_if_lines_still_fit(s3: ObjectStore) -> None:
    from airflow_provider_vectorize.errors import SourceError
    from airflow_provider_vectorize.sources.parts import Part

    s3.put("a.ndjson", b"one\ntwo\n")
    name = find(f"s3://store@{BUCKET}/a.ndjson")[0].name_of_part(Part(0, 4))
    assert read_text(find(name)[0]) == b"one\n"
    s3.put("a.ndjson", b"two\none\n")
    with pytest.raises(SourceError, match=r"another version, so it changed after the load was planned\. Plan and load"):
        find(name)


def test_find_connection_in_name_is_used_to_list_and_read(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    s3.put("a.ndjson", b"a\n")
    monkeypatch.setenv(
        "AIRFLOW_CONN_BROKEN", json.dumps({"conn_type": "aws", "extra": {"endpoint_url": "http://127.0.0.1:9"}})
    )
    assert [read_text(stored) for stored in find(f"s3://store@{BUCKET}/*", "broken")] == [b"a\n"]
    requests = len(s3.requests)
    with pytest.raises(ConfigError, match='no connection "mistyped"'):
        find(f"s3://mistyped@{BUCKET}/*", "store")
    assert len(s3.requests) == requests


def test_find_same_key_through_two_connections_returns_two_objects(
    s3: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SECOND", s3.connection)
    s3.put("a.ndjson", b"a\n")
    objects = find(
        [f"s3://{BUCKET}/a.ndjson", f"s3://second@{BUCKET}/a.ndjson", f"s3://store@{BUCKET}/a.ndjson"], "store"
    )
    assert len(objects) == 2
    assert len({stored.identity for stored in objects}) == 2


def _read_in_child(name: str, answers: Any) -> None:
    try:
        answers.put(read_text(find(name)[0]))
    except BaseException as error:  # noqa: BLE001 - the parent compares it
        answers.put(error)


def test_open_store_in_forked_process_opens_new_file_system(s3: ObjectStore) -> None:
    s3.put("a.ndjson", b"a\n")
    name = f"s3://store@{BUCKET}/a.ndjson"
    find(name)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_read_in_child, args=(name, answers))
    child.start()
    assert answers.get(timeout=60) == b"a\n"
    child.join()


def test_find_path_without_readable_file_raises(tmp_path: Path, airflow_home: Any) -> None:
    from airflow_provider_vectorize.errors import SourceError

    os.mkfifo(tmp_path / "pipe.ndjson")
    (tmp_path / "folder.ndjson").mkdir()
    (tmp_path / "folder.ndjson" / "part-0").write_bytes(b"x\n")
    (tmp_path / "link.ndjson").symlink_to("folder.ndjson")
    (tmp_path / "a.txt").write_bytes(b"a\n")
    for name, message in {
        "pipe.ndjson": "is a pipe, which a retry cannot read again",
        "folder.ndjson": "is a folder: name the objects in it",
        "link.ndjson": "is a folder: name the objects in it",
        "a.txt/": "does not exist or has no objects",
        "a.txt ": "begins or ends with a space or a line break",
        "f*.ndjson": r"1 folders match: add /\*",
    }.items():
        with pytest.raises(SourceError, match=message):
            find(str(tmp_path / name) if not name.endswith("/") else f"{tmp_path}/{name}")
    (tmp_path / "pipe.ndjson").unlink()
    (tmp_path / "b.ndjson").write_bytes(b"b\n")
    assert [read_text(stored) for stored in find(f"{tmp_path}/*.ndjson")] == [b"b\n"]
    (tmp_path / "gone.ndjson").symlink_to("nowhere")
    with pytest.raises(SourceError, match="is a dangling link"):
        find(f"{tmp_path}/*.ndjson")


def test_find_several_paths_of_one_file_returns_one_object(tmp_path: Path, airflow_home: Any) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.ndjson").write_bytes(b"a\n")
    (tmp_path / "linked").symlink_to(tmp_path)
    names = ["a.ndjson", "folder/../a.ndjson", "linked/a.ndjson", ".//a.ndjson"]
    assert len(find([f"{tmp_path}/{name}" for name in names])) == 1


def test_path_that_is_not_utf_8_is_planned_and_loaded(
    tmp_path: Path,
    books: LocalVectorize,  # noqa: F811
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.ndjson")).write_bytes(TEXT)
    plan = VectorizeHook().plan("books", f"{tmp_path}/*.ndjson", shards=2)
    (kwargs,) = json.loads(json.dumps(plan.kwargs()).encode())
    assert VectorizeHook().load("books", **kwargs)["vectors"] == 65


def test_find_double_star_with_other_characters_raises(tmp_path: Path, airflow_home: Any) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    with pytest.raises(ConfigError, match=r"\*\* must stand alone between slashes"):
        find(f"{tmp_path}/**.ndjson")


def test_gcs_forbidden_object_and_missing_bucket_raise(cloud: CloudStorage) -> None:
    from airflow_provider_vectorize.errors import SourceError

    cloud.put("a.ndjson", b"a\n")
    (stored,) = find(f"gs://cloud@{GOOGLE}/a.ndjson")
    cloud.error_responses["a.ndjson"] = (403, "caller does not have storage.objects.get access")
    with pytest.raises(
        SourceError, match=r"cannot be read: permission denied. Check the storage connection.*storage\.objects\.get"
    ):
        read_text(stored)
    with pytest.raises(SourceError, match="The bucket of gs://nowhere/"):
        find("gs://cloud@nowhere/*")
