"""Tests that names are parsed exactly, and that impossible names are refused before any request."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.sources.parts import Part
from airflow_provider_vectorize.storage.names import Location, parse

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
ODD_KEYS = st.text("?#%*[]@:/\\ {}\n\t~.é=&+", min_size=1, max_size=12)


@given(KEYS | ODD_KEYS, st.none() | st.from_regex(r"[\w#!()\-.:/]{1,8}", fullmatch=True), st.none() | st.just("v?#%1"))
def test_parse_source_of_location_returns_the_location(key: str, conn_id: str | None, version: str | None) -> None:
    location = Location("s3", conn_id, "bucket", key, version)
    for part, digest in ((None, ""), (Part(3, 9), ""), (Part(0, 9), "0123456789abcdef")):
        text = json.loads(json.dumps(location.source(part, digest)))
        parsed = parse(text)
        assert (parsed.location, parsed.part, parsed.digest) == (location, part, digest if part else "")
        assert parsed.exact or (not part and not parsed.is_pattern and not parsed.as_part and not parsed.as_version)


@given(st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_source_of_path_that_is_not_utf_8_is_encodable_text(name: bytes) -> None:
    if name in (b".", b".."):
        return
    location = parse(f"file:///data/{os.fsdecode(name)}").location
    text = location.source()
    assert text.encode()
    assert os.fsencode(parse(text).location.key) == b"/data/" + name
    assert location.uri.encode()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("C:\\data\\a.ndjson", "is a Windows path"),
        ("C:/data/a.ndjson", "is a Windows path"),
        ("\\\\server\\share\\a.ndjson", "is a Windows path"),
        ("s3:///key.ndjson", "names no bucket"),
        ("s3://conn@/key.ndjson", "names no bucket"),
        ("s3://bucket", "is a bucket: name the objects in it"),
        ("s3://bucket/", "is a bucket: name the objects in it"),
        ("s3://buck*/a.ndjson", "has a pattern in place of its bucket"),
        ("https://bucket.s3.amazonaws.com/a.ndjson", "is a web address"),
        ("http://localhost/a.ndjson", "is a web address"),
        ("file://data/a.ndjson", "names the host 'data'"),
        (" s3://bucket/a.ndjson", "begins with a space or a line break"),
        ("\ns3://bucket/a.ndjson", "begins with a space or a line break"),
        ("s3://bucket/a\0.ndjson", "contains a NUL character"),
        ("/data/a\0.ndjson", "contains a NUL character"),
        ("s3://bucket/\udcff.ndjson", "is not UTF-8"),
        ("/data/\ud800.ndjson", "is not text that can be encoded"),
        ("exact+nonsense", "is not a name that a plan writes"),
    ],
)
def test_parse_name_without_object_raises(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(name)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("file://localhost/data/a.ndjson", "/data/a.ndjson"),
        ("file:/data/a.ndjson", "/data/a.ndjson"),
        ("local:///data/a.ndjson", "/data/a.ndjson"),
        ("/data//./a.ndjson", "/data/a.ndjson"),
        ("/data/a%20b.ndjson", "/data/a%20b.ndjson"),
        ("~/a.ndjson", os.path.expanduser("~/a.ndjson")),
        ("a?b#c.ndjson", f"{os.getcwd()}/a?b#c.ndjson"),
    ],
)
def test_parse_path_returns_absolute_path(name: str, path: str) -> None:
    assert parse(name).location == Location("file", None, "", path)


@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n", "S3"])
def test_parse_scheme_alias_returns_same_location(scheme: str) -> None:
    assert parse(f"{scheme}://b/k").location == Location("s3", None, "b", "k")


def test_parse_connection_in_name_takes_precedence() -> None:
    assert parse("s3://mine@b/k", "other").location.conn_id == "mine"
    assert parse("s3://b/k", "other").location.conn_id == "other"
    assert parse("s3://b/k@home", "other").location == Location("s3", "other", "b", "k@home")
    assert parse("s3://mine@b/k").location != parse("s3://other@b/k").location


def test_find_unknown_connection_masks_secret_in_message(airflow_home: Any) -> None:
    from airflow_provider_vectorize import storage

    with pytest.raises(ConfigError, match=r'no connection "AKIA:\*\*\*" for the storage of s3://b/k') as caught:
        storage.find("s3://AKIA:very-secret@b/k")
    assert "very-secret" not in str(caught.value)
