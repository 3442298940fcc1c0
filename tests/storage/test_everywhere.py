"""What holds in every storage."""

from __future__ import annotations

import gzip
import random

import pytest

from tests.storage.conftest import Place, packed, read

TEXT = b"".join(b'{"id": "%d", "values": [1.0]}\n' % number for number in range(1_000))
KINDS = pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])


def names(place: Place, *asked: str) -> list[str]:
    """What was found, without what it lies below."""
    found = [item.uri for item in place.find(*asked)]
    base = place.base if "://" in place.base else f"file://{place.base}"
    assert all(uri.startswith(f"{base}/") for uri in found), found
    return [uri.removeprefix(f"{base}/") for uri in found]


@KINDS
def test_open_returns_text(place: Place, suffix: str) -> None:
    place.put(f"a.ndjson{suffix}", packed(TEXT, suffix))

    (item,) = place.find(f"a.ndjson{suffix}")

    assert read(item) == TEXT
    assert item.size == len(packed(TEXT, suffix))


@KINDS
@pytest.mark.parametrize("offset", [1, 31, 20_000, len(TEXT) - 1, len(TEXT)])
def test_open_at_offset_returns_text_from_there(place: Place, suffix: str, offset: int) -> None:
    place.put(f"a.ndjson{suffix}", packed(TEXT, suffix))

    (item,) = place.find(f"a.ndjson{suffix}")

    assert read(item, offset) == TEXT[offset:]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_open_several_compressed_members_returns_one_text(place: Place, suffix: str) -> None:
    place.put(f"a.ndjson{suffix}", packed(TEXT[:5_000], suffix) + packed(TEXT[5_000:], suffix))

    (item,) = place.find(f"a.ndjson{suffix}")

    assert read(item) == TEXT


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("missing", [1, 9, 1_000])
def test_open_truncated_compressed_object_raises(place: Place, suffix: str, missing: int) -> None:
    from airflow_provider_vectorize.errors import SourceError

    text = random.Random(1).randbytes(5_000)
    place.put(f"a.ndjson{suffix}", packed(text, suffix)[:-missing])
    (item,) = place.find(f"a.ndjson{suffix}")

    with pytest.raises(SourceError, match=r"truncated|damaged"):
        read(item)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_open_uncompressed_text_with_compressed_name_raises(place: Place, suffix: str) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put(f"a.ndjson{suffix}", TEXT)
    (item,) = place.find(f"a.ndjson{suffix}")

    with pytest.raises(SourceError, match=rf"a\.ndjson\{suffix} "):
        read(item)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_open_past_the_end_of_compressed_text_raises(place: Place, suffix: str) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put(f"a.ndjson{suffix}", packed(TEXT, suffix))
    (item,) = place.find(f"a.ndjson{suffix}")

    with pytest.raises(SourceError, match="shorter than it was"):
        read(item, len(TEXT) + 1)


def test_find_pattern_returns_matches_by_key(place: Place) -> None:
    for name in ("2026/b.ndjson", "2026/a.ndjson", "2026/c.ndjson.gz", "2026/notes.txt", "2027/a.ndjson"):
        place.put(name, packed(TEXT, name))

    assert names(place, "2026/*.ndjson*") == ["2026/a.ndjson", "2026/b.ndjson", "2026/c.ndjson.gz"]
    assert names(place, "202?/a.ndjson") == ["2026/a.ndjson", "2027/a.ndjson"]
    assert names(place, "2026/[ab].ndjson") == ["2026/a.ndjson", "2026/b.ndjson"]


def test_find_double_star_matches_nested_folders(place: Place) -> None:
    for name in ("x/1.ndjson", "x/y/2.ndjson", "x/y/z/3.ndjson", "w/4.ndjson"):
        place.put(name, TEXT)

    assert names(place, "x/**/*.ndjson") == ["x/1.ndjson", "x/y/2.ndjson", "x/y/z/3.ndjson"]
    assert names(place, "**/*.ndjson") == ["w/4.ndjson", "x/1.ndjson", "x/y/2.ndjson", "x/y/z/3.ndjson"]


def test_open_object_found_by_pattern_returns_text(place: Place) -> None:
    place.put("x/y/1.ndjson.gz", gzip.compress(TEXT))

    (item,) = place.find("x/**/*.gz")

    assert read(item) == TEXT


def test_find_list_keeps_order_and_drops_duplicates(place: Place) -> None:
    for name in ("a 1.ndjson", "b#2.ndjson", "c%203.ndjson"):
        place.put(name, TEXT)

    assert names(place, "c%203.ndjson", "a 1.ndjson", "*.ndjson") == ["c%203.ndjson", "a 1.ndjson", "b#2.ndjson"]


@pytest.mark.parametrize(
    "name", ["with space.ndjson", "plus+and%20percent.ndjson", "ünïcode.ndjson", "hash#and=equals&.ndjson"]
)
def test_find_key_with_special_characters_returns_object(place: Place, name: str) -> None:
    place.put(name, TEXT)

    (item,) = place.find(name)
    (globbed,) = place.find("*.ndjson")

    assert read(item) == TEXT
    assert read(globbed) == TEXT


@pytest.mark.parametrize("name", ["what [is] this.ndjson", "star*.ndjson"])
def test_find_existing_key_that_looks_like_a_pattern_returns_it(place: Place, name: str) -> None:
    place.put(name, TEXT)

    (item,) = place.find(name)

    assert read(item) == TEXT


def test_find_missing_object_raises_with_its_name(place: Place) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put("a.ndjson", TEXT)

    with pytest.raises(SourceError, match=r"There is no object .*/b\.ndjson\."):
        place.find("b.ndjson")


def test_find_pattern_without_match_raises(place: Place) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put("a.ndjson", TEXT)

    with pytest.raises(SourceError, match=r"No object matches .*/\*\.csv"):
        place.find("*.csv")


def test_find_list_with_one_missing_object_raises(place: Place) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put("a.ndjson", TEXT)

    with pytest.raises(SourceError, match=r"b\.ndjson"):
        place.find("a.ndjson", "b.ndjson")


@pytest.mark.parametrize("name", ["folder", "folder/"])
def test_find_folder_raises_and_suggests_pattern(place: Place, name: str) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put("folder/a.ndjson", TEXT)

    with pytest.raises(SourceError, match=r"is a folder.*folder/\*\.ndjson"):
        place.find(name)


def test_open_deleted_object_raises_with_its_name(place: Place) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put("a.ndjson", TEXT)
    (item,) = place.find("a.ndjson")
    place.delete("a.ndjson")

    with pytest.raises(SourceError, match=r"There is no object .*a\.ndjson"):
        read(item)
    assert item.current_version() == "gone"


def test_current_version_changes_with_content_of_same_size(place: Place) -> None:
    place.put("a.ndjson", b"first\n")
    (item,) = place.find("a.ndjson")
    assert item.current_version() == item.version

    place.put("a.ndjson", b"other\n")

    assert item.current_version() != item.version


def test_find_new_object_after_earlier_listing_returns_it(place: Place) -> None:
    place.put("x/a.ndjson", TEXT)
    assert len(place.find("x/*.ndjson")) == 1

    place.put("x/b.ndjson", TEXT)

    assert len(place.find("x/*.ndjson")) == 2


@pytest.mark.parametrize("source", ["", "  ", [], [""], ["a.ndjson", None]])
def test_find_empty_source_raises(place: Place, source: object) -> None:
    from airflow_provider_vectorize import storage
    from airflow_provider_vectorize.errors import ConfigError

    with pytest.raises(ConfigError, match="source is empty"):
        storage.find(source, place.conn_id)  # type: ignore[arg-type]
