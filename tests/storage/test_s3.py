"""What only an object store can do: refuse, hold other people's keys, and count requests."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.storage.conftest import packed, read
from tests.storage.object_store import BUCKET, KEY, SECRET, ObjectStore

MB = 1 << 20
BLOCK = 8 * MB


def find(source: Any, conn_id: str | None = "store") -> list[Any]:
    from airflow_provider_vectorize import storage

    return storage.find(source, conn_id)


def test_the_connection_may_stand_in_the_uri(s3: ObjectStore) -> None:
    s3.put("a.ndjson", b"a\n")
    s3.put("b.ndjson", b"b\n")

    (one,) = find(f"s3://store@{BUCKET}/a.ndjson", None)
    many = find(f"s3://store@{BUCKET}/*.ndjson", None)

    assert read(one) == b"a\n"
    assert [read(item) for item in many] == [b"a\n", b"b\n"]


def test_a_uri_in_logs_and_errors_names_no_connection(s3: ObjectStore) -> None:
    s3.put("a.ndjson", b"a\n")

    (item,) = find(f"s3://store@{BUCKET}/a.ndjson", None)

    assert item.uri == f"s3://{BUCKET}/a.ndjson"


def test_a_missing_bucket_is_named(s3: ObjectStore) -> None:
    from airflow_provider_vectorize.errors import SourceError

    with pytest.raises(SourceError, match=r"no object s3://nowhere/a\.ndjson"):
        find("s3://nowhere/a.ndjson")
    with pytest.raises(SourceError, match=r"s3://nowhere/\*\.ndjson"):
        find("s3://nowhere/*.ndjson")


@pytest.mark.parametrize("source", [f"s3://unknown@{BUCKET}/a.ndjson", f"s3://unknown@{BUCKET}/*.ndjson"])
def test_an_unknown_connection_never_falls_back_on_the_machines_own_credentials(
    s3: ObjectStore, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    from airflow_provider_vectorize.errors import ConfigError

    s3.put("a.ndjson", b"a\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": s3.url,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)  # they would open it

    with pytest.raises(ConfigError, match='no connection "unknown"'):
        find(source, None)
    with pytest.raises(ConfigError, match='no connection "unknown"'):
        find(source.replace("unknown@", ""), "unknown")

    assert s3.asked == []


def test_an_object_that_may_not_be_read_says_so(s3: ObjectStore) -> None:
    from airflow_provider_vectorize.errors import SourceError

    s3.put("a.ndjson", b"a\n")
    s3.refuse("a.ndjson", 403)

    with pytest.raises(SourceError, match=r"a\.ndjson may not be read: check the storage's connection"):
        find(f"s3://{BUCKET}/a.ndjson")


def test_an_object_that_may_not_be_read_any_more_says_so(s3: ObjectStore) -> None:
    from airflow_provider_vectorize.errors import SourceError

    s3.put("a.ndjson", b"a\n")
    (item,) = find(f"s3://{BUCKET}/a.ndjson")
    s3.refuse("a.ndjson", 403)

    with pytest.raises(SourceError, match=r"a\.ndjson may not be read"):
        read(item)


def test_an_object_is_read_in_blocks_of_8_mb(s3: ObjectStore) -> None:
    text = b"x" * (3 * BLOCK - 1) + b"\n"
    s3.put("a.ndjson", text)
    (item,) = find(f"s3://{BUCKET}/a.ndjson")

    assert read(item) == text

    assert len(s3.gets("a.ndjson")) <= 4, s3.asked


def test_many_small_reads_ask_the_store_no_more_often(s3: ObjectStore) -> None:
    s3.put("a.ndjson", b"0123456789\n" * 200_000)
    (item,) = find(f"s3://{BUCKET}/a.ndjson")

    with item.open(0) as text:
        while text.stream.read(11):
            pass

    assert len(s3.gets("a.ndjson")) == 1


def test_going_on_in_a_plain_object_reads_nothing_of_what_was_read(s3: ObjectStore) -> None:
    s3.put("a.ndjson", b"x" * 2 * BLOCK)
    (item,) = find(f"s3://{BUCKET}/a.ndjson")

    assert len(read(item, BLOCK + 5)) == BLOCK - 5

    (asked,) = s3.gets("a.ndjson")
    assert asked.range is not None
    assert asked.range.startswith(f"bytes={BLOCK + 5}-")


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_going_on_in_a_compressed_object_reads_it_once_from_its_start(s3: ObjectStore, suffix: str) -> None:
    text = b"0123456789\n" * 100_000
    s3.put(f"a.ndjson{suffix}", packed(text, suffix))
    (item,) = find(f"s3://{BUCKET}/a.ndjson{suffix}")

    assert read(item, 1_000_000) == text[1_000_000:]

    assert len(s3.gets(f"a.ndjson{suffix}")) == 1


def test_many_small_objects_cost_few_requests_each(s3: ObjectStore) -> None:
    for number in range(200):
        s3.put(f"many/{number:03}.ndjson", b"%d\n" % number)

    items = find(f"s3://{BUCKET}/many/*.ndjson")
    found = len(s3.asked)
    texts = []
    for item in items:
        texts.append(read(item))
        assert item.current_version() == item.version

    assert texts == [b"%d\n" % number for number in range(200)]
    assert found <= 5, s3.asked[:20]  # one listing, not one look an object
    assert len(s3.asked) - found <= 3 * 200, s3.asked[found : found + 20]


MEASURE = """
import resource, sys
from airflow_provider_vectorize import storage

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

(item,) = storage.find(sys.argv[1], "store")
with item.open(0) as text:
    text.stream.read(1 << 20)
before, size = peak(), 0
with item.open(0) as text:
    while piece := text.stream.read(1 << 20):
        size += len(piece)
print(size, peak() - before)
"""


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_memory_does_not_grow_with_the_object(s3: ObjectStore, suffix: str) -> None:
    s3.put(f"a.ndjson{suffix}", packed(b"0123456789\n" * (128 * MB // 11), suffix))

    done = subprocess.run(
        [sys.executable, "-c", MEASURE, f"s3://{BUCKET}/a.ndjson{suffix}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    size, grown = map(int, done.stdout.split()[-2:])
    assert size == 128 * MB // 11 * 11
    assert grown < 48 * MB, f"{grown / MB:.0f} MB"
