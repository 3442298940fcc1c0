"""Which objects of a folder or pattern are data: Spark's markers, checksums and hidden files are not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from airflow_provider_vectorize import storage
from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.storage.data_objects import split_data_objects
from airflow_provider_vectorize.storage.store import Entry

DATA = ["night/part-0.ndjson", "night/part-1.ndjson", "night/region=eu/part-2.ndjson", "night/_region=eu/part-3.ndjson"]
OTHER = [
    "night/_SUCCESS",
    "night/.part-0.ndjson.crc",
    "night/part-0.ndjson.crc",
    "night/_temporary/0/part-9.ndjson",
    "night/.spark-staging/part-9.ndjson",
    "night/.hidden.ndjson",
]


def test_split_data_objects_skips_hidden_objects_checksums_and_empty_ones() -> None:
    entries = [Entry(key, 1) for key in [*DATA, *OTHER]] + [
        Entry("night/empty.ndjson", 0),
        Entry("night/unknown", None),
    ]
    data, skipped = split_data_objects(entries, "night/")
    assert [entry.key for entry in data] == [*DATA, "night/unknown"]
    assert [entry.key for entry in skipped] == [*OTHER, "night/empty.ndjson"]


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("night/_*.ndjson", "night/_part-0.ndjson"),
        ("night/.*", "night/.part-0"),
        ("_staging/*.ndjson", "_staging/part-0.ndjson"),
        ("a/_staging/", "a/_staging/part-0.ndjson"),
        ("night/*.crc", "night/part-0.crc"),
    ],
)
def test_split_data_objects_keeps_hidden_objects_that_the_pattern_asks_for(pattern: str, key: str) -> None:
    assert split_data_objects([Entry(key, 1)], pattern) == ([Entry(key, 1)], [])


def test_folder_means_its_data_objects_at_any_depth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for key in [*DATA, *OTHER]:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_text("x\n")
    with caplog.at_level(logging.INFO):
        found = storage.find(f"{tmp_path}/night/")
    assert [item.key for item in found] == [str(tmp_path / key) for key in sorted(DATA)]
    assert f"Skipped {len(OTHER)} objects matching {tmp_path.as_uri()}/night/" in caplog.text
    assert [item.key for item in storage.find(f"{tmp_path}/night/*")] == [str(tmp_path / key) for key in DATA[:2]]


def test_folder_with_markers_only_says_what_was_skipped(tmp_path: Path) -> None:
    (tmp_path / "_SUCCESS").touch()
    with pytest.raises(
        SourceError, match=r"Skipped 1 object \(hidden, checksum or empty: _SUCCESS\)\. .* job that writes it"
    ):
        storage.find(f"{tmp_path}/")


def test_folder_without_objects_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"does not exist or has no objects\. Correct the name, or .* on the worker"):
        storage.find(f"{tmp_path}/nothing/")


def test_hidden_object_that_is_named_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "_part").write_text("x")
    assert len(storage.find(f"{tmp_path}/_part")) == 1


@pytest.mark.parametrize(
    ("marker", "table_format"),
    [
        ("_delta_log/00000000000000000000.json", "Delta"),
        ("metadata/v3.metadata.json", "Iceberg"),
        ("metadata/00001-5f0e.metadata.json", "Iceberg"),
        (".hoodie/hoodie.properties", "Hudi"),
    ],
)
def test_folder_of_a_table_with_earlier_versions_is_refused(
    tmp_path: Path, marker: str, table_format: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("lang=en/part-0.parquet", "part-1.parquet", marker):
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    for source in (f"{tmp_path.as_uri()}/docs/", f"{tmp_path.as_uri()}/"):
        with pytest.raises(SourceError, match=f"is a table of the format {table_format}: .* Export the table"):
            storage.find(source, None)
    for pattern in ("*.parquet", "*/*.parquet", "lang=en/*.parquet"):
        caplog.clear()
        assert len(storage.find(f"{tmp_path.as_uri()}/docs/{pattern}", None)) == 1
        assert f"selects objects of a table of the format {table_format}: it also has objects of earlier" in caplog.text


def test_folder_with_metadata_of_its_own_is_no_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "a.ndjson").write_bytes(b"x")
    (tmp_path / "b.parquet").write_bytes(b"x")
    assert len(storage.find(f"{tmp_path.as_uri()}/", None)) == 2
    assert len(storage.find(f"{tmp_path.as_uri()}/*.parquet", None)) == 1
    assert "table of the format" not in caplog.text
