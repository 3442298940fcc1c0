"""Tests of finding and reading objects that run against every kind of storage."""

from __future__ import annotations

import gzip
import random

import pytest

from tests.storage.conftest import StorageFolder, compress, read_text

TEXT = b"".join(b'{"id": "%d", "values": [1.0]}\n' % number for number in range(1_000))
SUFFIXES = pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])


def names(folder: StorageFolder, *source: str) -> list[str]:
    """Return the names in the folder of all objects that a source finds."""
    uris = [stored.uri for stored in folder.find(*source)]
    base = folder.base if "://" in folder.base else f"file://{folder.base}"
    assert all(uri.startswith(f"{base}/") for uri in uris), uris
    return [uri.removeprefix(f"{base}/") for uri in uris]


@SUFFIXES
def test_open_returns_text(folder: StorageFolder, suffix: str) -> None:
    folder.put(f"a.ndjson{suffix}", compress(TEXT, suffix))

    (stored,) = folder.find(f"a.ndjson{suffix}")

    assert read_text(stored) == TEXT
    assert stored.size == len(compress(TEXT, suffix))


@SUFFIXES
@pytest.mark.parametrize("offset", [1, 31, 20_000, len(TEXT) - 1, len(TEXT)])
def test_open_at_offset_returns_text_from_there(folder: StorageFolder, suffix: str, offset: int) -> None:
    folder.put(f"a.ndjson{suffix}", compress(TEXT, suffix))

    (stored,) = folder.find(f"a.ndjson{suffix}")

    assert read_text(stored, offset) == TEXT[offset:]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_open_several_compressed_members_returns_one_text(folder: StorageFolder, suffix: str) -> None:
    folder.put(f"a.ndjson{suffix}", compress(TEXT[:5_000], suffix) + compress(TEXT[5_000:], suffix))

    (stored,) = folder.find(f"a.ndjson{suffix}")

    assert read_text(stored) == TEXT


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("missing", [1, 9, 1_000])
def test_open_truncated_compressed_object_raises(folder: StorageFolder, suffix: str, missing: int) -> None:
    from airflow_provider_vectorize.errors import SourceError

    text = random.Random(1).randbytes(5_000)
    folder.put(f"a.ndjson{suffix}", compress(text, suffix)[:-missing])
    (stored,) = folder.find(f"a.ndjson{suffix}")

    with pytest.raises(SourceError, match=r"truncated|damaged"):
        read_text(stored)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_open_uncompressed_text_with_compressed_name_raises(folder: StorageFolder, suffix: str) -> None:
    from airflow_provider_vectorize.errors import SourceError

    folder.put(f"a.ndjson{suffix}", TEXT)
    (stored,) = folder.find(f"a.ndjson{suffix}")

    with pytest.raises(SourceError, match=rf"a\.ndjson\{suffix} "):
        read_text(stored)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_open_past_the_end_of_compressed_text_raises(folder: StorageFolder, suffix: str) -> None:
    from airflow_provider_vectorize.errors import SourceError

    folder.put(f"a.ndjson{suffix}", compress(TEXT, suffix))
    (stored,) = folder.find(f"a.ndjson{suffix}")

    with pytest.raises(SourceError, match="shorter than it was"):
        read_text(stored, len(TEXT) + 1)


def test_find_pattern_returns_matches_by_key(folder: StorageFolder) -> None:
    for name in ("2026/b.ndjson", "2026/a.ndjson", "2026/c.ndjson.gz", "2026/notes.txt", "2027/a.ndjson"):
        folder.put(name, compress(TEXT, name))

    assert names(folder, "2026/*.ndjson*") == ["2026/a.ndjson", "2026/b.ndjson", "2026/c.ndjson.gz"]
    assert names(folder, "202?/a.ndjson") == ["2026/a.ndjson", "2027/a.ndjson"]
    assert names(folder, "2026/[ab].ndjson") == ["2026/a.ndjson", "2026/b.ndjson"]


def test_find_double_star_matches_nested_folders(folder: StorageFolder) -> None:
    for name in ("x/1.ndjson", "x/y/2.ndjson", "x/y/z/3.ndjson", "w/4.ndjson"):
        folder.put(name, TEXT)

    assert names(folder, "x/**/*.ndjson") == ["x/1.ndjson", "x/y/2.ndjson", "x/y/z/3.ndjson"]
    assert names(folder, "**/*.ndjson") == ["w/4.ndjson", "x/1.ndjson", "x/y/2.ndjson", "x/y/z/3.ndjson"]


def test_open_object_found_by_pattern_returns_text(folder: StorageFolder) -> None:
    folder.put("x/y/1.ndjson.gz", gzip.compress(TEXT))

    (stored,) = folder.find("x/**/*.gz")

    assert read_text(stored) == TEXT


def test_find_list_keeps_order_and_drops_duplicates(folder: StorageFolder) -> None:
    for name in ("a 1.ndjson", "b#2.ndjson", "c%203.ndjson"):
        folder.put(name, TEXT)

    assert names(folder, "c%203.ndjson", "a 1.ndjson", "*.ndjson") == ["c%203.ndjson", "a 1.ndjson", "b#2.ndjson"]


@pytest.mark.parametrize(
    "name", ["with space.ndjson", "plus+and%20percent.ndjson", "ünïcode.ndjson", "hash#and=equals&.ndjson"]
)
def test_find_key_with_special_characters_returns_object(folder: StorageFolder, name: str) -> None:
    folder.put(name, TEXT)

    (stored,) = folder.find(name)
    (matched,) = folder.find("*.ndjson")

    assert read_text(stored) == TEXT
    assert read_text(matched) == TEXT


@pytest.mark.parametrize("name", ["what [is] this.ndjson", "star*.ndjson"])
def test_find_existing_key_that_looks_like_a_pattern_returns_it(folder: StorageFolder, name: str) -> None:
    folder.put(name, TEXT)

    (stored,) = folder.find(name)

    assert read_text(stored) == TEXT


def test_find_missing_object_raises_with_its_name(folder: StorageFolder) -> None:
    from airflow_provider_vectorize.errors import SourceError

    folder.put("a.ndjson", TEXT)

    with pytest.raises(
        SourceError, match=r"There is no object .*/b\.ndjson\. Correct the name, or check whether the job"
    ):
        folder.find("b.ndjson")


def test_find_pattern_without_match_raises(folder: StorageFolder) -> None:
    from airflow_provider_vectorize.errors import SourceError

    folder.put("a.ndjson", TEXT)

    with pytest.raises(
        SourceError, match=r"No object matches .*/\*\.csv, .*\. Correct the name, or check whether the job"
    ):
        folder.find("*.csv")


def test_find_list_with_one_missing_object_raises(folder: StorageFolder) -> None:
    from airflow_provider_vectorize.errors import SourceError

    folder.put("a.ndjson", TEXT)

    with pytest.raises(SourceError, match=r"b\.ndjson"):
        folder.find("a.ndjson", "b.ndjson")


def test_find_folder_without_slash_raises_and_suggests_pattern(folder: StorageFolder) -> None:
    from airflow_provider_vectorize.errors import SourceError

    folder.put("folder/a.ndjson", TEXT)

    with pytest.raises(SourceError, match=r"is a folder.*folder/\*\.ndjson"):
        folder.find("folder")


def test_open_deleted_object_raises_with_its_name(folder: StorageFolder) -> None:
    from airflow_provider_vectorize.errors import SourceError

    folder.put("a.ndjson", TEXT)
    (stored,) = folder.find("a.ndjson")
    folder.delete("a.ndjson")

    with pytest.raises(SourceError, match=r"There is no object .*a\.ndjson\. It was deleted .*: write it again"):
        read_text(stored)
    assert stored.current_version() == "gone"


def test_current_version_changes_with_content_of_same_size(folder: StorageFolder) -> None:
    folder.put("a.ndjson", b"first\n")
    (stored,) = folder.find("a.ndjson")
    assert stored.current_version() == stored.version

    folder.put("a.ndjson", b"other\n")

    assert stored.current_version() != stored.version


def test_find_new_object_after_earlier_listing_returns_it(folder: StorageFolder) -> None:
    folder.put("x/a.ndjson", TEXT)
    assert len(folder.find("x/*.ndjson")) == 1

    folder.put("x/b.ndjson", TEXT)

    assert len(folder.find("x/*.ndjson")) == 2


@pytest.mark.parametrize("source", ["", "  ", [], [""], ["a.ndjson", None]])
def test_find_empty_source_raises(folder: StorageFolder, source: object) -> None:
    from airflow_provider_vectorize import storage
    from airflow_provider_vectorize.errors import ConfigError

    with pytest.raises(ConfigError, match="source is empty"):
        storage.find(source, folder.conn_id)  # type: ignore[arg-type]
