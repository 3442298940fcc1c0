"""Tests of parts of objects, as a plan names them, in every kind of storage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import books, connect, row, vectorize  # noqa: F401 - fixtures
from tests.storage.conftest import StorageFolder, compress, read_text
from tests.storage.object_store import BUCKET, ObjectStore
from tests.support import NO_WAIT

LINES = [b'{"id": "%d", "values": [1.0]}\n' % number for number in range(1_000)]
TEXT = b"".join(LINES)
FIRST, LAST = len(b"".join(LINES[:300])), len(b"".join(LINES[:700]))


def test_open_all_parts_returns_the_text(folder: StorageFolder) -> None:
    folder.put("a.ndjson", TEXT)

    parts = folder.find(
        f"a.ndjson#bytes=0-{FIRST}", f"a.ndjson#bytes={FIRST}-{LAST}", f"a.ndjson#bytes={LAST}-{len(TEXT)}"
    )

    assert b"".join(map(read_text, parts)) == TEXT
    assert read_text(parts[1], len(LINES[300])) == b"".join(LINES[301:700])
    assert [part.size for part in parts] == [FIRST, LAST - FIRST, len(TEXT) - LAST]
    assert parts[0].uri.endswith(f"/a.ndjson#bytes=0-{FIRST}")
    assert len({part.version for part in parts}) == 1
    (whole,) = folder.find("a.ndjson")
    assert parts[1].version == parts[1].current_version() == whole.version


def test_find_name_of_part_returns_the_part(folder: StorageFolder) -> None:
    from airflow_provider_vectorize import storage

    folder.put("night 1/a#1.ndjson", TEXT)

    (part,) = folder.find(f"night 1/a#1.ndjson#bytes={FIRST}-{LAST}")
    (again,) = storage.find([part.name])

    assert (again.uri, again.version) == (part.uri, part.version)
    assert read_text(again) == b"".join(LINES[300:700])


def test_read_returns_bytes_as_stored(folder: StorageFolder) -> None:
    content = compress(TEXT, ".gz")
    folder.put("a.ndjson.gz", content)
    (stored,) = folder.find("a.ndjson.gz")
    assert stored.read(0, 10) == content[:10]
    assert stored.read(100, 200) == content[100:200]


def test_find_pattern_match_that_ends_like_a_part_returns_object(folder: StorageFolder) -> None:
    folder.put("a.ndjson#bytes=0-5", TEXT)
    (stored,) = folder.find("a.*")
    assert read_text(stored) == TEXT


@pytest.mark.parametrize(("start", "end"), [(FIRST + 1, LAST), (FIRST, LAST + 1), (FIRST, len(TEXT) + 1)])
def test_open_part_that_no_longer_fits_raises(folder: StorageFolder, start: int, end: int) -> None:
    from airflow_provider_vectorize.errors import SourceError

    folder.put("a.ndjson", TEXT)
    (part,) = folder.find(f"a.ndjson#bytes={start}-{end}")

    with pytest.raises(SourceError, match=rf"a\.ndjson#bytes={start}-{end} is not a part of the current object"):
        read_text(part)


def test_find_part_of_missing_object_raises_with_its_name(folder: StorageFolder) -> None:
    from airflow_provider_vectorize.errors import SourceError

    with pytest.raises(SourceError, match=r"There is no object .*a\.ndjson"):
        folder.find("a.ndjson#bytes=0-5")


def test_open_part_requests_few_other_bytes_from_s3(s3: ObjectStore) -> None:
    from airflow_provider_vectorize import storage

    line = b"x" * 999 + b"\n"
    s3.put("a.ndjson", line * 40_000)
    (part,) = storage.find(f"s3://store@{BUCKET}/a.ndjson#bytes=20000000-21000000")

    assert read_text(part) == line * 1_000

    ranges = [
        request.range.removeprefix("bytes=").split("-") for request in s3.get_requests("a.ndjson") if request.range
    ]
    assert sum(int(end) - int(start) for start, end in ranges) <= 2 * storage.BLOCK_BYTES
    assert all(int(start) > 19_000_000 for start, _ in ranges)


Load = Callable[..., dict[str, Any]]


@pytest.fixture
def load(books: LocalVectorize) -> Load:  # noqa: F811
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    return lambda source, **options: VectorizeHook(limits=NO_WAIT).load("books", source, **options)


def test_load_part_loads_its_rows(folder: StorageFolder, books: LocalVectorize, load: Load) -> None:  # noqa: F811
    text = [json.dumps(row(number)).encode() + b"\n" for number in range(20)]
    cut = len(b"".join(text[:10]))
    folder.put("a.ndjson", b"".join(text))

    receipt = load([f"{folder.base}/a.ndjson#bytes={cut}-{len(b''.join(text))}"], source_conn_id=folder.conn_id)

    assert receipt["vectors"] == 10
    assert set(books.dump("books")) == {f"book-{number}" for number in range(10, 20)}


@pytest.mark.parametrize("options", [{}, {"float32_text": "never"}], ids=["rewritten", "as stored"])
def test_load_parts_of_large_object_with_retried_request_loads_all(
    folder: StorageFolder,
    books: LocalVectorize,  # noqa: F811
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    """Rows of a large local file that need no rewriting are sent directly from the file."""
    rows = [row(number) | {"metadata": {"text": "x" * 9_000}} for number in range(1_000)]
    text = [json.dumps(vector).encode() + b"\n" for vector in rows]
    cut, end = len(b"".join(text[:480])), len(b"".join(text))
    folder.put("a.ndjson", b"".join(text))
    connect(monkeypatch, books, retry_seconds=60)
    books.fail("cut_during_body", operation="upsert", after_bytes=100_000)

    for part in (f"{cut}-{end}", f"0-{cut}"):
        load(f"{folder.base}/a.ndjson#bytes={part}", source_conn_id=folder.conn_id, **options)

    expected = {vector["id"]: LocalVectorize.digest(vector["values"], metadata=vector["metadata"]) for vector in rows}
    assert books.dump("books") == expected


def test_load_bad_row_of_part_reports_its_byte_in_the_object(folder: StorageFolder, load: Load) -> None:
    from airflow_provider_vectorize.errors import BadRowError

    text = [json.dumps(row(number)).encode() + b"\n" for number in range(20)]
    text[12] = b"nonsense\n"
    cut, bad = len(b"".join(text[:10])), len(b"".join(text[:12]))
    folder.put("a.ndjson", b"".join(text))
    source = f"{folder.base}/a.ndjson#bytes={cut}-{len(b''.join(text))}"

    with pytest.raises(BadRowError, match=rf"Line 3 of .*a\.ndjson#bytes={cut}-\d+ \(byte {bad:,}\)") as caught:
        load(source, source_conn_id=folder.conn_id)
    assert (caught.value.line, caught.value.offset) == (3, bad)

    load(
        source,
        source_conn_id=folder.conn_id,
        on_bad_row="dead_letter",
        dead_letter_path=f"{folder.base}/bad.jsonl",
    )
    (stored,) = folder.find("bad.jsonl")
    dead_letter = json.loads(read_text(stored))
    assert (dead_letter["line"], dead_letter["offset"]) == (3, bad)


def test_load_dead_letter_path_that_is_the_object_of_a_part_raises(folder: StorageFolder, load: Load) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    folder.put("a.ndjson", TEXT)
    with pytest.raises(ConfigError, match="is one of the objects"):
        load(
            f"{folder.base}/a.ndjson#bytes=0-{FIRST}",
            source_conn_id=folder.conn_id,
            on_bad_row="dead_letter",
            dead_letter_path=f"{folder.base}/a.ndjson",
        )


def test_lineage_of_part_names_the_object(folder: StorageFolder, books: LocalVectorize) -> None:  # noqa: F811
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    text = b"".join(json.dumps(row(number)).encode() + b"\n" for number in range(3))
    folder.put("a.ndjson", text)
    hook = VectorizeHook()
    hook.load("books", f"{folder.base}/a.ndjson#bytes=0-{len(text)}", source_conn_id=folder.conn_id)
    assert hook.loaded
    ((uri, size),) = hook.loaded.objects
    assert uri.endswith("/a.ndjson")
    assert size == len(text)
