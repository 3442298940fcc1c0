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
def test_an_object_is_read_as_it_was_written(place: Place, suffix: str) -> None:
    place.put(f"a.ndjson{suffix}", packed(TEXT, suffix))

    (item,) = place.find(f"a.ndjson{suffix}")

    assert read(item) == TEXT
    assert item.size == len(packed(TEXT, suffix))


@KINDS
@pytest.mark.parametrize("offset", [1, 31, 20_000, len(TEXT) - 1, len(TEXT)])
def test_reading_goes_on_at_a_byte_of_the_text(place: Place, suffix: str, offset: int) -> None:
    place.put(f"a.ndjson{suffix}", packed(TEXT, suffix))

    (item,) = place.find(f"a.ndjson{suffix}")

    assert read(item, offset) == TEXT[offset:]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_several_compressed_members_are_one_text(place: Place, suffix: str) -> None:
    place.put(f"a.ndjson{suffix}", packed(TEXT[:5_000], suffix) + packed(TEXT[5_000:], suffix))

    (item,) = place.find(f"a.ndjson{suffix}")

    assert read(item) == TEXT


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("missing", [1, 9, 1_000])
def test_a_compressed_object_that_is_cut_off_is_an_error(place: Place, suffix: str, missing: int) -> None:
    from airflow_provider_vectorize.errors import SourceError

    text = random.Random(1).randbytes(5_000)
    place.put(f"a.ndjson{suffix}", packed(text, suffix)[:-missing])
    (item,) = place.find(f"a.ndjson{suffix}")

    with pytest.raises(SourceError, match=r"cut off|damaged"):
        read(item)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_text_that_is_not_compressed_as_its_name_says_is_an_error(place: Place, suffix: str) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put(f"a.ndjson{suffix}", TEXT)
    (item,) = place.find(f"a.ndjson{suffix}")

    with pytest.raises(SourceError, match=rf"a\.ndjson\{suffix} "):
        read(item)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_object_that_shrank_since_the_last_try_is_an_error(place: Place, suffix: str) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put(f"a.ndjson{suffix}", packed(TEXT, suffix))
    (item,) = place.find(f"a.ndjson{suffix}")

    with pytest.raises(SourceError, match="shorter than it was"):
        read(item, len(TEXT) + 1)


def test_a_glob_finds_objects_by_name(place: Place) -> None:
    for name in ("2026/b.ndjson", "2026/a.ndjson", "2026/c.ndjson.gz", "2026/notes.txt", "2027/a.ndjson"):
        place.put(name, packed(TEXT, name))

    assert names(place, "2026/*.ndjson*") == ["2026/a.ndjson", "2026/b.ndjson", "2026/c.ndjson.gz"]
    assert names(place, "202?/a.ndjson") == ["2026/a.ndjson", "2027/a.ndjson"]
    assert names(place, "2026/[ab].ndjson") == ["2026/a.ndjson", "2026/b.ndjson"]


def test_two_stars_go_through_nested_prefixes(place: Place) -> None:
    for name in ("x/1.ndjson", "x/y/2.ndjson", "x/y/z/3.ndjson", "w/4.ndjson"):
        place.put(name, TEXT)

    assert names(place, "x/**/*.ndjson") == ["x/1.ndjson", "x/y/2.ndjson", "x/y/z/3.ndjson"]
    assert names(place, "**/*.ndjson") == ["w/4.ndjson", "x/1.ndjson", "x/y/2.ndjson", "x/y/z/3.ndjson"]


def test_what_a_glob_found_can_be_read(place: Place) -> None:
    place.put("x/y/1.ndjson.gz", gzip.compress(TEXT))

    (item,) = place.find("x/**/*.gz")

    assert read(item) == TEXT


def test_a_list_keeps_its_order_and_names_each_object_once(place: Place) -> None:
    for name in ("a 1.ndjson", "b#2.ndjson", "c%203.ndjson"):
        place.put(name, TEXT)

    assert names(place, "c%203.ndjson", "a 1.ndjson", "*.ndjson") == ["c%203.ndjson", "a 1.ndjson", "b#2.ndjson"]


@pytest.mark.parametrize(
    "name", ["with space.ndjson", "plus+and%20percent.ndjson", "ünïcode.ndjson", "hash#and=equals&.ndjson"]
)
def test_a_name_may_hold_any_character(place: Place, name: str) -> None:
    place.put(name, TEXT)

    (item,) = place.find(name)
    (globbed,) = place.find("*.ndjson")

    assert read(item) == TEXT
    assert read(globbed) == TEXT


@pytest.mark.parametrize("name", ["what [is] this.ndjson", "star*.ndjson"])
def test_a_name_that_looks_like_a_glob_and_is_there_is_that_object(place: Place, name: str) -> None:
    place.put(name, TEXT)

    (item,) = place.find(name)

    assert read(item) == TEXT


def test_a_missing_object_is_named(place: Place) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put("a.ndjson", TEXT)

    with pytest.raises(SourceError, match=r"There is no object .*/b\.ndjson\."):
        place.find("b.ndjson")


def test_a_glob_without_a_match_is_an_error(place: Place) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put("a.ndjson", TEXT)

    with pytest.raises(SourceError, match=r"Nothing matches .*/\*\.csv"):
        place.find("*.csv")


def test_one_missing_object_of_a_list_is_an_error_before_any_is_read(place: Place) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put("a.ndjson", TEXT)

    with pytest.raises(SourceError, match=r"b\.ndjson"):
        place.find("a.ndjson", "b.ndjson")


@pytest.mark.parametrize("name", ["folder", "folder/"])
def test_a_folder_is_refused_with_an_example(place: Place, name: str) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put("folder/a.ndjson", TEXT)

    with pytest.raises(SourceError, match=r"is a folder.*folder/\*\.ndjson"):
        place.find(name)


def test_an_object_that_is_gone_when_it_is_opened_is_named(place: Place) -> None:
    from airflow_provider_vectorize.errors import SourceError

    place.put("a.ndjson", TEXT)
    (item,) = place.find("a.ndjson")
    place.delete("a.ndjson")

    with pytest.raises(SourceError, match=r"There is no object .*a\.ndjson"):
        read(item)
    assert item.current_version() == "gone"


def test_a_new_version_is_noticed_though_the_size_is_the_same(place: Place) -> None:
    place.put("a.ndjson", b"first\n")
    (item,) = place.find("a.ndjson")
    assert item.current_version() == item.version

    place.put("a.ndjson", b"other\n")

    assert item.current_version() != item.version


def test_a_new_object_is_found_though_the_folder_was_listed_before(place: Place) -> None:
    place.put("x/a.ndjson", TEXT)
    assert len(place.find("x/*.ndjson")) == 1

    place.put("x/b.ndjson", TEXT)

    assert len(place.find("x/*.ndjson")) == 2


@pytest.mark.parametrize("source", ["", "  ", [], [""], ["a.ndjson", None]])
def test_an_empty_source_is_refused(place: Place, source: object) -> None:
    from airflow_provider_vectorize import storage
    from airflow_provider_vectorize.errors import ConfigError

    with pytest.raises(ConfigError, match="source is empty"):
        storage.find(source, place.conn_id)  # type: ignore[arg-type]
