"""Parts of objects, as a plan names them, in every storage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import books, connect, row, vectorize  # noqa: F401 - fixtures
from tests.storage.conftest import Place, packed, read
from tests.storage.object_store import BUCKET, ObjectStore
from tests.support import NO_WAIT

LINES = [b'{"id": "%d", "values": [1.0]}\n' % number for number in range(1_000)]
TEXT = b"".join(LINES)
FIRST, LAST = len(b"".join(LINES[:300])), len(b"".join(LINES[:700]))


def test_open_all_parts_returns_the_text(place: Place) -> None:
    place.put("a.ndjson", TEXT)

    found = place.find(
        f"a.ndjson#bytes=0-{FIRST}", f"a.ndjson#bytes={FIRST}-{LAST}", f"a.ndjson#bytes={LAST}-{len(TEXT)}"
    )

    assert b"".join(map(read, found)) == TEXT
    assert read(found[1], len(LINES[300])) == b"".join(LINES[301:700])
    assert [item.size for item in found] == [FIRST, LAST - FIRST, len(TEXT) - LAST]
    assert found[0].uri.endswith(f"/a.ndjson#bytes=0-{FIRST}")
    assert len({item.version for item in found}) == 1
    (whole,) = place.find("a.ndjson")
    assert found[1].version == found[1].current_version() == whole.version


def test_find_name_of_part_returns_the_part(place: Place) -> None:
    from airflow_provider_vectorize import storage

    place.put("night 1/a#1.ndjson", TEXT)

    (part,) = place.find(f"night 1/a#1.ndjson#bytes={FIRST}-{LAST}")
    (again,) = storage.find([part.name])

    assert (again.uri, again.version) == (part.uri, part.version)
    assert read(again) == b"".join(LINES[300:700])


def test_read_returns_bytes_as_stored(place: Place) -> None:
    stored = packed(TEXT, ".gz")
    place.put("a.ndjson.gz", stored)
    (item,) = place.find("a.ndjson.gz")
    assert item.read(0, 10) == stored[:10]
    assert item.read(100, 200) == stored[100:200]


def test_find_pattern_match_that_ends_like_a_part_returns_object(place: Place) -> None:
    place.put("a.ndjson#bytes=0-5", TEXT)
    (item,) = place.find("a.*")
    assert read(item) == TEXT


@pytest.mark.parametrize(("start", "end"), [(FIRST + 1, LAST), (FIRST, LAST + 1), (FIRST, len(TEXT) + 1)])
def test_open_part_that_no_longer_fits_raises(place: Place, start: int, end: int) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put("a.ndjson", TEXT)
    (part,) = place.find(f"a.ndjson#bytes={start}-{end}")

    with pytest.raises(SourceError, match=rf"a\.ndjson#bytes={start}-{end} is not a part of the current object"):
        read(part)


def test_find_part_of_missing_object_raises_with_its_name(place: Place) -> None:
    from airflow_provider_vectorize.errors import SourceError

    with pytest.raises(SourceError, match=r"There is no object .*a\.ndjson"):
        place.find("a.ndjson#bytes=0-5")


def test_open_part_requests_few_other_bytes_from_s3(s3: ObjectStore) -> None:
    from airflow_provider_vectorize import storage

    line = b"x" * 999 + b"\n"
    s3.put("a.ndjson", line * 40_000)
    (part,) = storage.find(f"s3://store@{BUCKET}/a.ndjson#bytes=20000000-21000000")

    assert read(part) == line * 1_000

    ranges = [asked.range.removeprefix("bytes=").split("-") for asked in s3.gets("a.ndjson") if asked.range]
    assert sum(int(end) - int(start) for start, end in ranges) <= 2 * storage.BLOCK_BYTES
    assert all(int(start) > 19_000_000 for start, _ in ranges)


Load = Callable[..., dict[str, Any]]


@pytest.fixture
def load(books: LocalVectorize) -> Load:  # noqa: F811
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    return lambda source, **options: VectorizeHook(limits=NO_WAIT).load("books", source, **options)


def test_load_part_loads_its_rows(place: Place, books: LocalVectorize, load: Load) -> None:  # noqa: F811
    text = [json.dumps(row(number)).encode() + b"\n" for number in range(20)]
    cut = len(b"".join(text[:10]))
    place.put("a.ndjson", b"".join(text))

    receipt = load([f"{place.base}/a.ndjson#bytes={cut}-{len(b''.join(text))}"], source_conn_id=place.conn_id)

    assert receipt["vectors"] == 10
    assert set(books.dump("books")) == {f"book-{number}" for number in range(10, 20)}


@pytest.mark.parametrize("options", [{}, {"float32_text": "never"}], ids=["rewritten", "as they stand"])
def test_load_parts_of_large_object_with_retried_request_loads_all(
    place: Place,
    books: LocalVectorize,  # noqa: F811
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    """Rows of a large local file that are sent as they stand are sent from where they are."""
    rows = [row(number) | {"metadata": {"text": "x" * 9_000}} for number in range(1_000)]
    text = [json.dumps(one).encode() + b"\n" for one in rows]
    cut, end = len(b"".join(text[:480])), len(b"".join(text))
    place.put("a.ndjson", b"".join(text))
    connect(monkeypatch, books, retry_seconds=60)
    books.fail("cut_during_body", operation="upsert", after_bytes=100_000)

    for part in (f"{cut}-{end}", f"0-{cut}"):
        load(f"{place.base}/a.ndjson#bytes={part}", source_conn_id=place.conn_id, **options)

    expected = {one["id"]: LocalVectorize.digest(one["values"], metadata=one["metadata"]) for one in rows}
    assert books.dump("books") == expected


def test_load_bad_row_of_part_reports_its_byte_in_the_object(place: Place, load: Load) -> None:
    from airflow_provider_vectorize.errors import BadRowError

    text = [json.dumps(row(number)).encode() + b"\n" for number in range(20)]
    text[12] = b"nonsense\n"
    cut, bad = len(b"".join(text[:10])), len(b"".join(text[:12]))
    place.put("a.ndjson", b"".join(text))
    source = f"{place.base}/a.ndjson#bytes={cut}-{len(b''.join(text))}"

    with pytest.raises(BadRowError, match=rf"Line 3 of .*a\.ndjson#bytes={cut}-\d+ \(byte {bad:,}\)") as caught:
        load(source, source_conn_id=place.conn_id)
    assert (caught.value.line, caught.value.offset) == (3, bad)

    load(
        source,
        source_conn_id=place.conn_id,
        on_bad_row="dead_letter",
        dead_letter_path=f"{place.base}/bad.jsonl",
    )
    (item,) = place.find("bad.jsonl")
    letter = json.loads(read(item))
    assert (letter["line"], letter["offset"]) == (3, bad)


def test_load_dead_letter_path_that_is_the_object_of_a_part_raises(place: Place, load: Load) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    place.put("a.ndjson", TEXT)
    with pytest.raises(ConfigError, match="is one of the objects"):
        load(
            f"{place.base}/a.ndjson#bytes=0-{FIRST}",
            source_conn_id=place.conn_id,
            on_bad_row="dead_letter",
            dead_letter_path=f"{place.base}/a.ndjson",
        )


def test_lineage_of_part_names_the_object(place: Place, books: LocalVectorize) -> None:  # noqa: F811
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    text = b"".join(json.dumps(row(number)).encode() + b"\n" for number in range(3))
    place.put("a.ndjson", text)
    hook = VectorizeHook()
    hook.load("books", f"{place.base}/a.ndjson#bytes=0-{len(text)}", source_conn_id=place.conn_id)
    assert hook.loaded
    ((uri, size),) = hook.loaded.objects
    assert uri.endswith("/a.ndjson")
    assert size == len(text)
