"""Tests of loads from storage through the hook into a local Vectorize, and of the dead letters that they write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import books, row, vectorize  # noqa: F401 - fixtures
from tests.storage.conftest import StorageFolder, compress
from tests.storage.object_store import BUCKET, ObjectStore
from tests.support import NO_WAIT

Load = Callable[..., dict[str, Any]]


@pytest.fixture
def load(books: LocalVectorize) -> Load:  # noqa: F811
    """Return the load method of a hook, for the index ``books``."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    return lambda source, **options: VectorizeHook(limits=NO_WAIT).load("books", source, **options)


def ndjson(*numbers: int, **more: Any) -> bytes:
    return b"".join(json.dumps(row(number) | more).encode() + b"\n" for number in numbers)


def test_load_plain_and_compressed_objects_loads_each_once(
    folder: StorageFolder,
    books: LocalVectorize,  # noqa: F811
    load: Load,
) -> None:
    folder.put("night/a.ndjson", ndjson(*range(10)))
    folder.put("night/b.ndjson.gz", compress(ndjson(*range(10, 20)), ".gz"))
    folder.put("night/deep/er/c.ndjson.zst", compress(ndjson(*range(20, 30)), ".zst"))
    folder.put("night/notes.txt", b"no vectors")

    receipt = load(
        [f"{folder.base}/night/**/*.ndjson*", f"{folder.base}/night/a.ndjson"], source_conn_id=folder.conn_id
    )

    assert receipt["vectors"] == 30
    assert set(books.dump("books")) == {f"book-{number}" for number in range(30)}


LARGE = {"metadata": {"text": "x" * 9_000}}


@pytest.mark.parametrize("rows", [2_000, 1_990, 2_010, 100], ids=["as long", "shorter", "longer", "a fraction"])
def test_load_object_replaced_during_read_fails(s3: ObjectStore, load: Load, rows: int) -> None:
    from airflow_provider_vectorize.errors import SourceError

    source = s3.put("a.ndjson", ndjson(*range(2_000), **LARGE))  # more than two blocks
    s3.before_get("a.ndjson", 2, lambda: s3.put("a.ndjson", ndjson(*range(5_000, 5_000 + rows), **LARGE)))

    with pytest.raises(SourceError, match=r"a\.ndjson changed while it was read"):
        load(source, source_conn_id="store")


def test_load_object_deleted_during_read_fails(s3: ObjectStore, load: Load) -> None:
    from airflow_provider_vectorize.errors import SourceError

    source = s3.put("a.ndjson", ndjson(*range(2_000), **LARGE))
    s3.before_get("a.ndjson", 2, lambda: s3.client.delete_object(Bucket=BUCKET, Key="a.ndjson"))

    with pytest.raises(SourceError, match=r"a\.ndjson"):
        load(source, source_conn_id="store")


def test_load_file_that_grows_during_read_fails(
    books: LocalVectorize,  # noqa: F811
    load: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_provider_vectorize import storage
    from airflow_provider_vectorize.errors import SourceError

    path = tmp_path / "a.ndjson"
    path.write_bytes(ndjson(*range(10)))
    get_version = storage.StoredObject.current_version

    def append_then_get_version(stored: Any) -> str:
        with path.open("ab") as stream:
            stream.write(ndjson(11))
        return get_version(stored)

    monkeypatch.setattr(storage.StoredObject, "current_version", append_then_get_version)

    with pytest.raises(SourceError, match=r"a\.ndjson changed while it was read"):
        load(str(path))


def test_load_writes_dead_letters_to_the_source_storage(folder: StorageFolder, load: Load) -> None:
    bad = [b"not json\n", ndjson(3).replace(b"book-3", b"x" * 65), b'{"id": "short", "values": [1.0]}\n']
    folder.put("a.ndjson", ndjson(0, 1) + bad[0] + ndjson(2) + bad[1])
    folder.put("b.ndjson.gz", compress(bad[2] + ndjson(4), ".gz"))

    receipt = load(
        f"{folder.base}/*.ndjson*",
        source_conn_id=folder.conn_id,
        on_bad_row="dead_letter",
        dead_letter_path=f"{folder.base}/bad/rows.jsonl",
    )

    assert (receipt["vectors"], receipt["rejected"]) == (4, 3)
    dead_letters = [json.loads(line) for line in folder.get("bad/rows.jsonl").splitlines()]
    assert [(dead_letter["object"].rsplit("/", 1)[1], dead_letter["line"]) for dead_letter in dead_letters] == [
        ("a.ndjson", 3),
        ("a.ndjson", 5),
        ("b.ndjson.gz", 1),
    ]
    assert [dead_letter["row"].rstrip("\n") for dead_letter in dead_letters] == [
        row.decode().rstrip("\n") for row in bad
    ]
    assert dead_letters[1]["offset"] == len(ndjson(0, 1) + bad[0] + ndjson(2))
    assert all(dead_letter["reason"] for dead_letter in dead_letters)


def test_load_never_overwrites_dead_letters_of_another_run(folder: StorageFolder, load: Load) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    options = {
        "source_conn_id": folder.conn_id,
        "on_bad_row": "dead_letter",
        "dead_letter_path": f"{folder.base}/bad.jsonl",
    }
    source = folder.put("a.ndjson", b"not json\n" * 3 + ndjson(0))
    tonight, tomorrow = {"run": "nightly/1/load"}, {"run": "nightly/2/load"}
    receipt = load(source, **options, identity=tonight)
    assert receipt["rejected_by_reason"] == {
        "not a valid JSON vector: JSON is malformed: invalid character (byte …)": 3
    }
    assert receipt["dead_letter_path"].endswith("/bad.jsonl")
    dead_letters = folder.get("bad.jsonl")

    message = r"bad\.jsonl holds the dead letters of nightly/1/load, and this load would"
    for another in ({"identity": tomorrow}, {"identity": {"night": "2"}}, {}):
        with pytest.raises(ConfigError, match=message):
            load(source, **options, **another)
        assert folder.get("bad.jsonl") == dead_letters

    folder.put("a.ndjson", b"not json\n" + ndjson(0))
    load(source, **options, identity=tonight)
    assert len(folder.get("bad.jsonl").splitlines()) == 1

    folder.put("a.ndjson", ndjson(0))
    load(source, **options, identity=tonight)
    load(source, **options, identity=tomorrow)  # An empty file holds no dead letters to lose.
    assert folder.get("bad.jsonl") == b""


def through_linked_folder(path: Path) -> str:
    link = path.parent.with_name("link")
    if not link.exists():
        link.symlink_to(path.parent)
    return f"{link}/{path.name}"


def hard_link(path: Path) -> str:
    link = path.with_name("hard")
    if not link.exists():
        os.link(path, link)
    return str(link)


SPELLINGS: dict[str, Callable[[Path], str]] = {
    "the same": str,
    "local://": lambda path: f"local://{path}",
    "file://": lambda path: f"file://{path}",
    "dots": lambda path: f"{path.parent}/./{path.name}",
    "up and down": lambda path: f"{path.parent}/../{path.parent.name}/{path.name}",
    "two slashes": lambda path: f"{path.parent}//{path.name}",
    "relative": os.path.relpath,
    "bare": lambda path: path.name,
    "linked folder": through_linked_folder,
    "hard link": hard_link,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("part", ["", "#bytes=0-{size}"], ids=["whole", "part"])
def test_load_dead_letter_path_that_is_the_source_raises(
    books: LocalVectorize,  # noqa: F811
    load: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spelling: str,
    part: str,
) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    path = tmp_path / "data" / "a.ndjson"
    path.parent.mkdir()
    # The source looks like dead letters of this run, so only the comparison of the paths protects it.
    content = b'{"run": "1", "id": "book-1", "values": [%b]}\n' % b",".join([b"0.5"] * 32)
    path.write_bytes(content)
    monkeypatch.chdir(path.parent)
    for source, dead_letter_path in ((str(path), SPELLINGS[spelling](path)), (SPELLINGS[spelling](path), str(path))):
        with pytest.raises(ConfigError, match="is one of the objects to be loaded"):
            load(
                source + part.format(size=len(content)),
                on_bad_row="dead_letter",
                dead_letter_path=dead_letter_path,
                identity={"run": "1"},
            )
    assert path.read_bytes() == content
    assert not books.requests("upsert")


@pytest.mark.parametrize("name", ["bad.ndjson", "deep/er/bad.ndjson"])
def test_load_dead_letter_path_that_matches_the_pattern_raises(folder: StorageFolder, load: Load, name: str) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    folder.put("a.ndjson", ndjson(0))
    pattern = "*.ndjson" if "/" not in name else "**/*.ndjson"
    options = {"source_conn_id": folder.conn_id, "on_bad_row": "dead_letter"}
    with pytest.raises(ConfigError, match="matches the pattern of the source"):
        load([f"{folder.base}/{pattern}"], dead_letter_path=f"{folder.base}/{name}", **options)
    assert load(f"{folder.base}/*.ndjson", dead_letter_path=f"{folder.base}/deep/{name}", **options)["vectors"] == 1


def test_load_dead_letter_path_in_the_source_folder_raises(folder: StorageFolder, load: Load) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    folder.put("night/a.ndjson", ndjson(0))
    options = {"source_conn_id": folder.conn_id, "on_bad_row": "dead_letter"}
    for name in ("night/bad.ndjson", "night/deep/bad.ndjson"):
        with pytest.raises(ConfigError, match="is in a folder of the source"):
            load(f"{folder.base}/night/", dead_letter_path=f"{folder.base}/{name}", **options)
    assert load(f"{folder.base}/night/", dead_letter_path=f"{folder.base}/nightly.ndjson", **options)["vectors"] == 1


@pytest.mark.parametrize("prefix", ["s3://store@", "s3a://store@", "s3://other@", "s3a://other@"])
def test_load_dead_letter_path_that_is_the_source_by_other_scheme_raises(
    s3: ObjectStore, load: Load, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    monkeypatch.setenv("AIRFLOW_CONN_OTHER", s3.connection)
    content = b'{"run": "1", "id": "book-1", "values": []}\n'
    s3.put("a.ndjson", content)
    with pytest.raises(ConfigError, match="is one of the objects to be loaded"):
        load(
            f"s3://store@{BUCKET}/a.ndjson",
            on_bad_row="dead_letter",
            dead_letter_path=f"{prefix}{BUCKET}/a.ndjson",
            identity={"run": "1"},
        )
    assert s3.client.get_object(Bucket=BUCKET, Key="a.ndjson")["Body"].read() == content


def test_load_unwritable_dead_letter_file_fails(s3: ObjectStore, load: Load) -> None:
    from airflow_provider_vectorize.errors import SourceError

    source = s3.put("a.ndjson", b"not json\n" + ndjson(0))
    s3.refuse("bad.jsonl", 403)

    with pytest.raises(SourceError, match=r"bad\.jsonl cannot be written"):
        load(source, source_conn_id="store", on_bad_row="dead_letter", dead_letter_path=f"s3://{BUCKET}/bad.jsonl")
