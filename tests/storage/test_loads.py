"""Loads from storage, and what they write there: through the hook, into a local Vectorize."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import books, row, vectorize  # noqa: F401 - fixtures
from tests.storage.conftest import Place, packed
from tests.storage.object_store import BUCKET, ObjectStore

Load = Callable[..., dict[str, Any]]


@pytest.fixture
def load(books: LocalVectorize) -> Load:  # noqa: F811
    """The hook's, into the index ``books``."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    return lambda source, **options: VectorizeHook().load("books", source, **options)


def ndjson(*numbers: int, **more: Any) -> bytes:
    return b"".join(json.dumps(row(number) | more).encode() + b"\n" for number in numbers)


def test_a_load_reads_objects_of_every_kind_once_each(place: Place, books: LocalVectorize, load: Load) -> None:  # noqa: F811
    place.put("night/a.ndjson", ndjson(*range(10)))
    place.put("night/b.ndjson.gz", packed(ndjson(*range(10, 20)), ".gz"))
    place.put("night/deep/er/c.ndjson.zst", packed(ndjson(*range(20, 30)), ".zst"))
    place.put("night/notes.txt", b"no vectors")

    receipt = load([f"{place.base}/night/**/*.ndjson*", f"{place.base}/night/a.ndjson"], source_conn_id=place.conn_id)

    assert receipt["vectors"] == 30
    assert set(books.dump("books")) == {f"book-{number}" for number in range(30)}


LARGE = {"metadata": {"text": "x" * 9_000}}


@pytest.mark.parametrize("rows", [2_000, 1_990, 2_010, 100], ids=["as long", "shorter", "longer", "a fraction"])
def test_an_object_that_is_replaced_while_it_is_read_fails_the_load(s3: ObjectStore, load: Load, rows: int) -> None:
    from airflow_provider_vectorize.errors import SourceError

    source = s3.put("a.ndjson", ndjson(*range(2_000), **LARGE))  # two blocks and a bit
    s3.before_get("a.ndjson", 2, lambda: s3.put("a.ndjson", ndjson(*range(5_000, 5_000 + rows), **LARGE)))

    with pytest.raises(SourceError, match=r"a\.ndjson changed while it was read"):
        load(source, source_conn_id="store")


def test_an_object_that_is_deleted_while_it_is_read_fails_the_load(s3: ObjectStore, load: Load) -> None:
    from airflow_provider_vectorize.errors import SourceError

    source = s3.put("a.ndjson", ndjson(*range(2_000), **LARGE))
    s3.before_get("a.ndjson", 2, lambda: s3.client.delete_object(Bucket=BUCKET, Key="a.ndjson"))

    with pytest.raises(SourceError, match=r"a\.ndjson"):
        load(source, source_conn_id="store")


def test_a_file_that_grows_while_it_is_read_fails_the_load(
    books: LocalVectorize,  # noqa: F811
    load: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_provider_vectorize import storage
    from airflow_provider_vectorize.errors import SourceError

    path = tmp_path / "a.ndjson"
    path.write_bytes(ndjson(*range(10)))
    real = storage.StoredObject.current_version

    def append_and_look(item: Any) -> str:
        with path.open("ab") as stream:
            stream.write(ndjson(11))
        return real(item)

    monkeypatch.setattr(storage.StoredObject, "current_version", append_and_look)

    with pytest.raises(SourceError, match=r"a\.ndjson changed while it was read"):
        load(str(path))


def test_bad_rows_are_written_to_the_same_storage(place: Place, load: Load) -> None:
    bad = [b"not json\n", ndjson(3).replace(b"book-3", b"x" * 65), b'{"id": "short", "values": [1.0]}\n']
    place.put("a.ndjson", ndjson(0, 1) + bad[0] + ndjson(2) + bad[1])
    place.put("b.ndjson.gz", packed(bad[2] + ndjson(4), ".gz"))

    receipt = load(
        f"{place.base}/*.ndjson*",
        source_conn_id=place.conn_id,
        on_bad_row="dead_letter",
        dead_letter_path=f"{place.base}/bad/rows.jsonl",
    )

    assert (receipt["vectors"], receipt["rejected"]) == (4, 3)
    letters = [json.loads(line) for line in written(place, "bad/rows.jsonl").splitlines()]
    assert [(letter["object"].rsplit("/", 1)[1], letter["line"]) for letter in letters] == [
        ("a.ndjson", 3),
        ("a.ndjson", 5),
        ("b.ndjson.gz", 1),
    ]
    assert [letter["row"].rstrip("\n") for letter in letters] == [row.decode().rstrip("\n") for row in bad]
    assert letters[1]["offset"] == len(ndjson(0, 1) + bad[0] + ndjson(2))
    assert all(letter["reason"] for letter in letters)


def test_bad_rows_of_an_earlier_load_are_replaced(place: Place, load: Load) -> None:
    options = {
        "source_conn_id": place.conn_id,
        "on_bad_row": "dead_letter",
        "dead_letter_path": f"{place.base}/bad.jsonl",
    }
    place.put("a.ndjson", b"not json\n" * 3 + ndjson(0))
    load(f"{place.base}/a.ndjson", **options)
    place.put("a.ndjson", b"not json\n" + ndjson(0))

    load(f"{place.base}/a.ndjson", **options)

    assert len(written(place, "bad.jsonl").splitlines()) == 1


def test_bad_rows_that_cannot_be_written_fail_the_load(s3: ObjectStore, load: Load) -> None:
    from airflow_provider_vectorize.errors import SourceError

    source = s3.put("a.ndjson", b"not json\n" + ndjson(0))
    s3.refuse("bad.jsonl", 403)

    with pytest.raises(SourceError, match=r"bad\.jsonl cannot be written"):
        load(source, source_conn_id="store", on_bad_row="dead_letter", dead_letter_path=f"s3://{BUCKET}/bad.jsonl")


def written(place: Place, name: str) -> bytes:
    """What the provider wrote, read past it."""
    import fsspec

    from airflow_provider_vectorize import storage

    path = storage._path(f"{place.base}/{name}", place.conn_id)
    assert isinstance(path.fs, fsspec.AbstractFileSystem)
    path.fs.invalidate_cache()
    content: bytes = path.fs.cat_file(path.path)
    return content
