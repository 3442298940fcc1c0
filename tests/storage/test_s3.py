"""Tests of S3: connections, permissions, and the number of requests."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.storage.conftest import compress, read_text
from tests.storage.object_store import BUCKET, KEY, SECRET, ObjectStore

MB = 1 << 20
BLOCK = 8 * MB


def find(source: Any, conn_id: str | None = "store") -> list[Any]:
    from airflow_provider_vectorize import storage

    return storage.find(source, conn_id)


def test_find_connection_in_uri_returns_objects(s3: ObjectStore) -> None:
    s3.put("a.ndjson", b"a\n")
    s3.put("b.ndjson", b"b\n")

    (stored,) = find(f"s3://store@{BUCKET}/a.ndjson", None)
    matched = find(f"s3://store@{BUCKET}/*.ndjson", None)

    assert read_text(stored) == b"a\n"
    assert [read_text(stored) for stored in matched] == [b"a\n", b"b\n"]


def test_uri_of_object_omits_connection(s3: ObjectStore) -> None:
    s3.put("a.ndjson", b"a\n")

    (stored,) = find(f"s3://store@{BUCKET}/a.ndjson", None)

    assert stored.uri == f"s3://{BUCKET}/a.ndjson"


def test_find_missing_bucket_raises_with_its_name(s3: ObjectStore) -> None:
    from airflow_provider_vectorize.errors import SourceError

    with pytest.raises(SourceError, match=r"no object s3://nowhere/a\.ndjson"):
        find("s3://nowhere/a.ndjson")
    with pytest.raises(SourceError, match=r"s3://nowhere/\*\.ndjson"):
        find("s3://nowhere/*.ndjson")


@pytest.mark.parametrize("source", [f"s3://unknown@{BUCKET}/a.ndjson", f"s3://unknown@{BUCKET}/*.ndjson"])
def test_find_unknown_connection_never_uses_credentials_of_the_machine(
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
        monkeypatch.setenv(name, value)  # These would open the object.

    with pytest.raises(ConfigError, match='no connection "unknown"'):
        find(source, None)
    with pytest.raises(ConfigError, match='no connection "unknown"'):
        find(source.replace("unknown@", ""), "unknown")

    assert s3.requests == []


def test_find_forbidden_object_raises_permission_denied(s3: ObjectStore) -> None:
    from airflow_provider_vectorize.errors import SourceError

    s3.put("a.ndjson", b"a\n")
    s3.refuse("a.ndjson", 403)

    with pytest.raises(SourceError, match=r"a\.ndjson cannot be read: permission denied. Check the storage connection"):
        find(f"s3://{BUCKET}/a.ndjson")


def test_open_object_forbidden_since_find_raises_permission_denied(s3: ObjectStore) -> None:
    from airflow_provider_vectorize.errors import SourceError

    s3.put("a.ndjson", b"a\n")
    (stored,) = find(f"s3://{BUCKET}/a.ndjson")
    s3.refuse("a.ndjson", 403)

    with pytest.raises(SourceError, match=r"a\.ndjson cannot be read: permission denied"):
        read_text(stored)


def test_open_reads_blocks_of_8_mb(s3: ObjectStore) -> None:
    text = b"x" * (3 * BLOCK - 1) + b"\n"
    s3.put("a.ndjson", text)
    (stored,) = find(f"s3://{BUCKET}/a.ndjson")

    assert read_text(stored) == text

    assert len(s3.get_requests("a.ndjson")) <= 4, s3.requests


def test_many_small_reads_make_one_request(s3: ObjectStore) -> None:
    s3.put("a.ndjson", b"0123456789\n" * 200_000)
    (stored,) = find(f"s3://{BUCKET}/a.ndjson")

    with stored.open(0) as text:
        while text.stream.read(11):
            pass

    assert len(s3.get_requests("a.ndjson")) == 1


def test_open_plain_object_at_offset_requests_only_the_rest(s3: ObjectStore) -> None:
    s3.put("a.ndjson", b"x" * 2 * BLOCK)
    (stored,) = find(f"s3://{BUCKET}/a.ndjson")

    assert len(read_text(stored, BLOCK + 5)) == BLOCK - 5

    (request,) = s3.get_requests("a.ndjson")
    assert request.range is not None
    assert request.range.startswith(f"bytes={BLOCK + 5}-")


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_open_compressed_object_at_offset_reads_it_once(s3: ObjectStore, suffix: str) -> None:
    text = b"0123456789\n" * 100_000
    s3.put(f"a.ndjson{suffix}", compress(text, suffix))
    (stored,) = find(f"s3://{BUCKET}/a.ndjson{suffix}")

    assert read_text(stored, 1_000_000) == text[1_000_000:]

    assert len(s3.get_requests(f"a.ndjson{suffix}")) == 1


def test_many_small_objects_need_few_requests_each(s3: ObjectStore) -> None:
    for number in range(200):
        s3.put(f"many/{number:03}.ndjson", b"%d\n" % number)

    objects = find(f"s3://{BUCKET}/many/*.ndjson")
    listing_requests = len(s3.requests)
    texts = []
    for stored in objects:
        texts.append(read_text(stored))
        assert stored.current_version() == stored.version

    assert texts == [b"%d\n" % number for number in range(200)]
    assert listing_requests <= 5, s3.requests[:20]  # one listing instead of one request for each object
    assert len(s3.requests) - listing_requests <= 3 * 200, s3.requests[listing_requests : listing_requests + 20]


PEAK_MEMORY_SCRIPT = """
import resource, sys
from airflow_provider_vectorize import storage

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

(stored,) = storage.find(sys.argv[1], "store")
with stored.open(0) as text:
    text.stream.read(1 << 20)
before, size = peak(), 0
with stored.open(0) as text:
    while piece := text.stream.read(1 << 20):
        size += len(piece)
print(size, peak() - before)
"""


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_open_memory_does_not_grow_with_the_object(s3: ObjectStore, suffix: str) -> None:
    s3.put(f"a.ndjson{suffix}", compress(b"0123456789\n" * (128 * MB // 11), suffix))

    process = subprocess.run(
        [sys.executable, "-c", PEAK_MEMORY_SCRIPT, f"s3://{BUCKET}/a.ndjson{suffix}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    size, grown = map(int, process.stdout.split()[-2:])
    assert size == 128 * MB // 11 * 11
    assert grown < 48 * MB, f"{grown / MB:.0f} MB"
