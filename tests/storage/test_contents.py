"""Content encodings, versions, connections and errors: what a store says is not what arrives."""

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
from tests.storage.conftest import attach, read
from tests.storage.object_store import BUCKET, ObjectStore

TEXT = b"".join(json.dumps(row(number)).encode() + b"\n" for number in range(65))
TWICE = gzip.compress(gzip.compress(TEXT))


@pytest.fixture
def cloud(google: Any, airflow_home: Any, monkeypatch: pytest.MonkeyPatch) -> CloudStorage:
    server, fs = google
    attach("gs", "cloud", fs, monkeypatch)
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
def test_an_object_with_a_content_encoding_is_read_to_its_end_and_unpacked_once(
    cloud: CloudStorage, key: str, content: bytes, always_decompress: bool
) -> None:
    cloud.put(key, content, "gzip")
    cloud.always_decompress = always_decompress
    for name in (f"gs://cloud@{GOOGLE}/{key}", f"gs://cloud@{GOOGLE}/*"):
        (item,) = find(name)
        assert read(item) == TEXT
        assert read(item, 1_000) == TEXT[1_000:]


@pytest.mark.parametrize("always_decompress", [False, True])
def test_a_large_one_is_read_in_blocks_or_as_one_stream(cloud: CloudStorage, always_decompress: bool) -> None:
    text = b"".join(os.urandom(500).hex().encode() + b"\n" for _ in range(30_000))
    cloud.put("a.ndjson", gzip.compress(text, 1), "gzip")
    cloud.always_decompress = always_decompress
    (item,) = find(f"gs://cloud@{GOOGLE}/a.ndjson")
    assert read(item) == text


@pytest.mark.parametrize("always_decompress", [False, True])
def test_all_rows_of_an_encoded_object_are_loaded_planned_and_deleted(
    cloud: CloudStorage,
    books: LocalVectorize,  # noqa: F811
    always_decompress: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator
    from airflow_provider_vectorize.plan import shards

    monkeypatch.setattr(shards.deal, "__defaults__", (1_000,))
    source = cloud.put("a.ndjson", gzip.compress(TEXT), "gzip").replace("gs://", "gs://cloud@")
    cloud.always_decompress = always_decompress
    plan = VectorizeHook().plan("books", source, shards=4)
    assert plan.kwargs() == [{"source": [source]}], "it is not cut"
    assert VectorizeHook().load("books", source)["vectors"] == 65
    deletion = VectorizeDeleteVectorsOperator(
        task_id="delete", index_name="books", source=source, source_lines_are="vectors"
    )
    assert deletion.execute({})["vectors"] == 65


def test_an_encoded_object_of_s3_is_unpacked_and_not_cut(
    s3: ObjectStore,
    books: LocalVectorize,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_provider_vectorize.errors import ConfigError
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.plan import shards

    monkeypatch.setattr(shards.deal, "__defaults__", (1_000,))
    for key in ("a.ndjson", "b.ndjson.gz"):
        s3.client.put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(TEXT), ContentEncoding="gzip")
    items = find(f"s3://{BUCKET}/*", "store")
    assert [read(item) for item in items] == [TEXT, TEXT]
    assert read(find(f"s3://{BUCKET}/*", "store")[0], 1_000) == TEXT[1_000:]
    plan = VectorizeHook().plan("books", f"s3://{BUCKET}/*", shards=4, source_conn_id="store")
    assert all("#bytes=" not in name for shard in plan.shards for name in shard)
    assert plan.vectors >= 65
    with pytest.raises(ConfigError, match="compressed objects are read whole"):
        find(f"s3://{BUCKET}/a.ndjson#bytes=0-100", "store")


def test_what_is_compressed_twice_is_said_so(tmp_path: Path, airflow_home: Any) -> None:
    from airflow_provider_vectorize.errors import SourceError

    (tmp_path / "a.ndjson.gz").write_bytes(TWICE)
    (item,) = find(str(tmp_path / "a.ndjson.gz"))
    with pytest.raises(SourceError, match="is compressed twice"):
        read(item)


def test_a_version_of_s3_is_read_and_a_key_that_ends_like_one_comes_first(s3: ObjectStore) -> None:
    from airflow_provider_vectorize.errors import SourceError

    s3.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    ids = [s3.client.put_object(Bucket=BUCKET, Key="a.ndjson", Body=body)["VersionId"] for body in (b"old\n", b"new\n")]
    name = f"s3://store@{BUCKET}/a.ndjson?versionId={ids[0]}"
    (item,) = find(name)
    assert read(item) == b"old\n"
    assert item.current_version() == item.version
    (again,) = find(item.name)
    assert read(again) == b"old\n"
    with pytest.raises(SourceError, match=r"a\.ndjson\?versionId="):
        find(f"s3://store@{BUCKET}/a.ndjson?versionId=00000000-0000-0000-0000-000000000000")
    s3.put(f"a.ndjson?versionId={ids[0]}", b"a key\n")
    assert read(find(name)[0]) == b"a key\n"


@pytest.mark.parametrize("form", ["#{}", "?generation={}"])
def test_a_generation_of_google_is_read(cloud: CloudStorage, form: str) -> None:
    from airflow_provider_vectorize.errors import SourceError

    cloud.put("a.ndjson", b"old\n")
    cloud.put("a.ndjson", b"new\n")
    old = cloud.versions["a.ndjson"][0].generation
    (item,) = find(f"gs://cloud@{GOOGLE}/a.ndjson{form.format(old)}")
    assert read(item) == b"old\n"
    with pytest.raises(SourceError, match="no such version"):
        find(f"gs://cloud@{GOOGLE}/a.ndjson{form.format(12)}")


def test_a_part_of_another_version_is_refused_though_its_lines_are_at_the_same_bytes(s3: ObjectStore) -> None:
    from airflow_provider_vectorize.errors import SourceError
    from airflow_provider_vectorize.sources.parts import Part

    s3.put("a.ndjson", b"one\ntwo\n")
    name = find(f"s3://store@{BUCKET}/a.ndjson")[0].name_of_part(Part(0, 4))
    assert read(find(name)[0]) == b"one\n"
    s3.put("a.ndjson", b"two\none\n")
    with pytest.raises(SourceError, match=r"another version, so it changed since the load was planned\. Plan and load"):
        find(name)


def test_the_connection_in_the_name_lists_and_reads(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    s3.put("a.ndjson", b"a\n")
    monkeypatch.setenv(
        "AIRFLOW_CONN_BROKEN", json.dumps({"conn_type": "aws", "extra": {"endpoint_url": "http://127.0.0.1:9"}})
    )
    assert [read(item) for item in find(f"s3://store@{BUCKET}/*", "broken")] == [b"a\n"]
    asked = len(s3.asked)
    with pytest.raises(ConfigError, match='no connection "mistyped"'):
        find(f"s3://mistyped@{BUCKET}/*", "store")
    assert len(s3.asked) == asked


def test_the_same_key_seen_by_two_connections_is_two_objects(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SECOND", s3.connection)
    s3.put("a.ndjson", b"a\n")
    items = find(
        [f"s3://{BUCKET}/a.ndjson", f"s3://second@{BUCKET}/a.ndjson", f"s3://store@{BUCKET}/a.ndjson"], "store"
    )
    assert len(items) == 2
    assert len({item.identity for item in items}) == 2


def _read_in_child(name: str, answers: Any) -> None:
    try:
        answers.put(read(find(name)[0]))
    except BaseException as error:  # noqa: BLE001 - the parent judges it
        answers.put(error)


def test_a_forked_child_opens_a_file_system_of_its_own(s3: ObjectStore) -> None:
    s3.put("a.ndjson", b"a\n")
    name = f"s3://store@{BUCKET}/a.ndjson"
    find(name)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_read_in_child, args=(name, answers))
    child.start()
    assert answers.get(timeout=60) == b"a\n"
    child.join()


def test_files_that_are_no_files(tmp_path: Path, airflow_home: Any) -> None:
    from airflow_provider_vectorize.errors import SourceError

    os.mkfifo(tmp_path / "pipe.ndjson")
    (tmp_path / "folder.ndjson").mkdir()
    (tmp_path / "folder.ndjson" / "part-0").write_bytes(b"x\n")
    (tmp_path / "link.ndjson").symlink_to("folder.ndjson")
    (tmp_path / "a.txt").write_bytes(b"a\n")
    for name, message in {
        "pipe.ndjson": "is a pipe, and a load has to be able to read its source again",
        "folder.ndjson": "is a folder: name the objects in it",
        "link.ndjson": "is a folder: name the objects in it",
        "a.txt/": "There is no object",
        "a.txt ": "begins or ends with a space or a line break",
        "f*.ndjson": r"1 folders match: add /\*",
    }.items():
        with pytest.raises(SourceError, match=message):
            find(str(tmp_path / name) if not name.endswith("/") else f"{tmp_path}/{name}")
    (tmp_path / "pipe.ndjson").unlink()
    (tmp_path / "b.ndjson").write_bytes(b"b\n")
    assert [read(item) for item in find(f"{tmp_path}/*.ndjson")] == [b"b\n"]
    (tmp_path / "gone.ndjson").symlink_to("nowhere")
    with pytest.raises(SourceError, match="is a link that leads nowhere"):
        find(f"{tmp_path}/*.ndjson")


def test_two_names_of_one_file_are_one_object(tmp_path: Path, airflow_home: Any) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.ndjson").write_bytes(b"a\n")
    (tmp_path / "linked").symlink_to(tmp_path)
    names = ["a.ndjson", "folder/../a.ndjson", "linked/a.ndjson", ".//a.ndjson"]
    assert len(find([f"{tmp_path}/{name}" for name in names])) == 1


def test_a_local_name_that_is_not_utf_8_is_loaded_and_planned(
    tmp_path: Path,
    books: LocalVectorize,  # noqa: F811
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.ndjson")).write_bytes(TEXT)
    plan = VectorizeHook().plan("books", f"{tmp_path}/*.ndjson", shards=2)
    (kwargs,) = json.loads(json.dumps(plan.kwargs()).encode())
    assert VectorizeHook().load("books", **kwargs)["vectors"] == 65


def test_two_stars_beside_other_characters_are_refused(tmp_path: Path, airflow_home: Any) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    with pytest.raises(ConfigError, match=r"\*\* has to stand alone between slashes"):
        find(f"{tmp_path}/**.ndjson")


def test_a_google_object_that_may_not_be_read_and_a_bucket_that_does_not_exist(cloud: CloudStorage) -> None:
    from airflow_provider_vectorize.errors import SourceError

    cloud.put("a.ndjson", b"a\n")
    (item,) = find(f"gs://cloud@{GOOGLE}/a.ndjson")
    cloud.refused["a.ndjson"] = (403, "caller does not have storage.objects.get access")
    with pytest.raises(SourceError, match=r"may not be read: check the storage's connection.*storage\.objects\.get"):
        read(item)
    with pytest.raises(SourceError, match="There is no bucket for gs://nowhere/"):
        find("gs://cloud@nowhere/*")


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("InvalidObjectState", "The operation is not valid for the object's storage class", "is archived"),
        ("ExpiredToken", "The provided token has expired.", "credentials of the storage's connection have expired"),
        ("RequestTimeTooSkewed", "The difference is too large.", "the clock of this machine is wrong"),
        ("AccessDenied", "not authorized to perform: kms:Decrypt", "encrypted with a key"),
        ("KMS.DisabledException", "the key is disabled", "encrypted with a key"),
        ("InvalidAccessKeyId", "does not exist in our records", "refuses the credentials"),
        ("AccessDenied", "Access Denied", "may not be read: check the storage's connection and its permissions."),
        ("TeapotError", "short and stout", "cannot be read. The storage says: TeapotError: short and stout."),
    ],
)
def test_what_the_store_said_decides_the_sentence_and_is_kept(code: str, message: str, expected: str) -> None:
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    from airflow_provider_vectorize.storage.errors import sentence

    error = translate_boto_error(ClientError({"Error": {"Code": code, "Message": message}}, "GetObject"))
    text = sentence(error, "s3://b/k")
    assert expected in text
    assert code in text
    assert message.rstrip(".") in text


def test_errors_of_libraries_and_of_files_they_need_name_the_object() -> None:
    import aiohttp

    from airflow_provider_vectorize.errors import SourceError
    from airflow_provider_vectorize.storage.errors import explained

    for error, expected in [
        (aiohttp.ClientPayloadError("not enough data"), "ClientPayloadError: not enough data"),
        (FileNotFoundError(2, "No such file or directory", "/etc/ca.pem"), "No such file or directory: /etc/ca.pem"),
        (RuntimeError("This class is not fork-safe"), "RuntimeError: This class is not fork-safe"),
        (ValueError("embedded null byte"), "ValueError: embedded null byte"),
    ]:
        with pytest.raises(SourceError) as caught, explained("s3://b/k"):
            raise error
        assert str(caught.value) == f"s3://b/k cannot be read: {expected}."
        assert caught.value.uri == "s3://b/k"
