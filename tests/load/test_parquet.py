"""Load Parquet objects and mapped ndjson through the real client into the local Vectorize."""

from __future__ import annotations

import base64
import gzip
import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import BadRowError, ConfigError, ServerError, SourceError
from airflow_provider_vectorize.sources.fields import Fields, parse_fields
from tests.support import DIMENSIONS, FileObject, MemoryStore, Row, expected_dump, make_rows, ndjson, write_object

from .conftest import BooksIndex

MAPPED = parse_fields("fields", {"id": "key", "values": "doc.embedding", "namespace": "tenant", "metadata": ["title"]})


def vectors(count: int) -> list[Row]:
    """Return vectors whose values are exact as float16, so that every list type holds the same ones."""
    numbers = np.random.default_rng(5).integers(-64, 64, (count, DIMENSIONS)) / 32
    return [
        {"id": f"v{n}", "values": row.tolist(), "namespace": f"n{n % 3}", "metadata": {"title": f"T{n}"}}
        for n, row in enumerate(numbers)
    ]


def write_parquet(
    books: BooksIndex, rows: list[Row], kind: Any = None, name: str = "a.parquet", **how: Any
) -> FileObject:
    kind = kind or pa.list_(pa.float32())
    columns = {
        "id": pa.array([row["id"] for row in rows]),
        "values": pa.array([row["values"] for row in rows], kind),
    }
    for key in ("namespace", "metadata"):
        if any(key in row for row in rows):
            columns[key] = pa.array([row.get(key) for row in rows])
    pq.write_table(pa.table(columns), books.folder / name, **{"row_group_size": 16, **how})
    return FileObject(books.folder / name)


def write_mapped_parquet(books: BooksIndex, rows: list[Row]) -> FileObject:
    table = pa.table({
        "key": [row["id"] for row in rows],
        "doc": [{"embedding": row["values"], "lang": "en"} for row in rows],
        "tenant": pa.array([row["namespace"] for row in rows]).dictionary_encode(),
        "title": [row["metadata"]["title"] for row in rows],
    })
    pq.write_table(table, books.folder / "mapped.parquet", row_group_size=16)
    return FileObject(books.folder / "mapped.parquet")


def write_mapped_ndjson(books: BooksIndex, rows: list[Row]) -> FileObject:
    mapped = [
        {
            "tenant": row["namespace"],
            "doc": {"embedding": row["values"]},
            "key": row["id"],
            "title": row["metadata"]["title"],
        }
        for row in rows
    ]
    return books.write_source(ndjson(mapped))


def with_plain_uri(source: FileObject) -> FileObject:
    """Return an object with the URI that storage gives it, in which no character is quoted."""
    source.uri = unquote(source.uri)
    return source


LIST_TYPES = [
    pa.list_(pa.float16()),
    pa.list_(pa.float32()),
    pa.list_(pa.float64()),
    pa.large_list(pa.float32()),
    pa.list_(pa.float32(), DIMENSIONS),
    pa.list_(pa.float64(), DIMENSIONS),
]


@pytest.mark.parametrize("kind", LIST_TYPES, ids=str)
@pytest.mark.parametrize("compression", ["snappy", "zstd", "none"])
def test_parquet_of_each_list_type_and_compression_loads_the_same_vectors(
    books: BooksIndex, kind: pa.DataType, compression: str
) -> None:
    rows = vectors(50)
    receipt = books.load(write_parquet(books, rows, kind, compression=compression))
    assert receipt.vectors == 50
    assert books.dump() == expected_dump(rows)


def test_ndjson_mapped_ndjson_and_parquet_load_the_same_vectors(books: BooksIndex) -> None:
    rows = vectors(5_000)
    dumps: list[dict[str, str]] = []
    sources: list[tuple[FileObject, Fields | None]] = [
        (books.write_source(ndjson(rows), "plain.ndjson"), None),
        (write_mapped_ndjson(books, rows), MAPPED),
        (write_mapped_parquet(books, rows), MAPPED),
        *((write_parquet(books, rows, kind, f"{number}.parquet"), None) for number, kind in enumerate(LIST_TYPES)),
    ]
    for source, fields in sources:
        books.local.reset()
        books.recreate()
        books.load(source, per_request=1_000, **({"fields": fields} if fields else {}))
        dumps.append(books.dump())
    assert dumps == [expected_dump(rows)] * len(sources)


def test_parquet_without_suffix_is_detected_by_its_first_bytes(books: BooksIndex) -> None:
    rows = vectors(3)
    write_parquet(books, rows, name="part-00000")
    books.load(FileObject(books.folder / "part-00000"))
    assert books.dump() == expected_dump(rows)


def test_source_with_two_formats_names_an_object_of_each(books: BooksIndex) -> None:
    rows = vectors(3)
    with pytest.raises(ConfigError, match=r"two formats: .*a\.parquet is Parquet and .*b\.ndjson is not"):
        books.load([write_parquet(books, rows), books.write_source(rows, "b.ndjson")])
    assert books.dump() == {}


def test_format_that_is_set_overrides_the_name(books: BooksIndex) -> None:
    rows = vectors(3)
    books.load(write_parquet(books, rows, name="a.json"), format="parquet")
    assert books.dump() == expected_dump(rows)
    with pytest.raises(SourceError, match="cannot be read as Parquet: it does not end as a Parquet file does"):
        books.load(books.write_source(make_rows(9), "b.parquet"))


def test_bad_row_of_parquet_fails_the_load_and_names_row_and_row_group(books: BooksIndex) -> None:
    rows = vectors(40)
    rows[20]["values"] = rows[20]["values"][:3]
    with pytest.raises(BadRowError, match=r"Row 21 of .*a\.parquet \(row group 1\) cannot be loaded: 3 values"):
        books.load(write_parquet(books, rows))


def test_dead_letters_of_parquet_can_be_corrected_and_loaded(books: BooksIndex) -> None:
    rows = vectors(40)
    broken = [dict(row) for row in rows]
    broken[20]["values"] = [1.0]
    receipt = books.load(write_parquet(books, broken), dead_letters=True)
    (letter,) = books.target.dead_letters()
    assert (receipt.vectors, receipt.rejected) == (39, 1)
    assert (letter["line"], letter["row_group"], "offset" in letter) == (21, 1, False)
    letter["row"] = json.dumps(json.loads(letter["row"]) | {"values": rows[20]["values"]})
    books.load(books.write_source(ndjson([letter]), "corrected.ndjson"))
    assert books.dump() == expected_dump(rows)


def test_load_retry_of_parquet_resumes_in_the_row_group(books: BooksIndex, caplog: pytest.LogCaptureFixture) -> None:
    rows, store = vectors(100), MemoryStore()
    source = write_parquet(books, rows)
    how: dict[str, Any] = {
        "store": store,
        "max_in_flight": 1,
        "identity": {"number of clears": "0"},
        "client": {"retry": RetryPolicy(total=0.0), "limits": Limits(late_seconds=0)},
    }
    books.local.fail("http_500", operation="upsert", after=3, times=None)
    with pytest.raises(ServerError):
        books.load(source, **how)
    books.local.clear_faults()
    books.local.clear_requests()
    with caplog.at_level(logging.INFO):
        receipt = books.load(source, **how)
    assert "Resuming from the last checkpoint at row 31 of" in caplog.text
    assert "(row group 1)" in caplog.text
    assert sum(request.vectors for request in books.write_requests()) == 70
    assert receipt.vectors == 100
    assert books.dump() == expected_dump(rows)


def test_parquet_that_is_read_as_ndjson_says_so(books: BooksIndex) -> None:
    source = write_parquet(books, vectors(40), name="a.ndjson")
    with pytest.raises(SourceError, match=r"a\.ndjson is Parquet, but it is read as ndjson") as raised:
        books.load(source, dead_letters=True)
    assert raised.value.permanent
    assert books.dump() == {}


@pytest.mark.parametrize("name", ["a.parquet", "a.ndjson.gz"])
def test_object_that_is_cut_off_while_it_is_read_has_changed(books: BooksIndex, name: str) -> None:
    source = write_parquet(books, vectors(40)) if name == "a.parquet" else books.write_source(vectors(40), name)
    path = books.folder / name
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"changed while it was read\. Load it again when") as raised:
        books.load(source)
    assert not raised.value.permanent


def test_parquet_in_a_compressed_object_says_that_it_has_to_be_decompressed(books: BooksIndex) -> None:
    content = Path(write_parquet(books, vectors(40)).uri.removeprefix("file://")).read_bytes()
    for name in ("b.parquet.gz", "b.zst"):
        with pytest.raises(SourceError, match="is Parquet inside of a compressed object: decompress it") as raised:
            books.load(books.write_source(content, name), dead_letters=True)
        assert raised.value.permanent
    for name in ("c.parquet", "c.parquet.gz", "c.parquet.zst"):
        packed = gzip.compress(content) if name == "c.parquet" else content
        with pytest.raises(
            SourceError, match=r"is compressed as a whole \(\.(gz|zst)\), and not only inside: decompress"
        ):
            books.load(books.write_source(packed, name), format="parquet")


@pytest.mark.parametrize("name", ["part-0", "a.json", "a.parquet"])
@pytest.mark.parametrize("plain_footer", [False, True])
def test_encrypted_parquet_never_becomes_bad_rows(books: BooksIndex, name: str, plain_footer: bool) -> None:
    kms = pe.CryptoFactory(lambda _: _NoKms())
    config = pe.EncryptionConfiguration("key", column_keys={"key": ["id"]}, plaintext_footer=plain_footer)
    properties = kms.file_encryption_properties(pe.KmsConnectionConfig(), config)
    write_parquet(books, vectors(3), name=name, encryption_properties=properties)
    reason = "is Parquet, but it is read as ndjson" if name == "a.json" else "it is encrypted, which is not supported"
    with pytest.raises(SourceError, match=reason) as raised:
        books.load(FileObject(books.folder / name), dead_letters=True)
    assert raised.value.permanent


class _NoKms(pe.KmsClient):
    """A key management service that leaves keys as they are."""

    def __init__(self) -> None:
        pe.KmsClient.__init__(self)

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        return base64.b64encode(key_bytes)


@pytest.mark.parametrize(
    ("folder", "fields"),
    [("namespace=acme", None), ("dt=2026-01-01", {"metadata": ["dt"]}), ("lang=en", {"id": "lang"})],
)
def test_column_that_is_only_in_the_names_of_folders_fails_the_load(
    books: BooksIndex, folder: str, fields: dict[str, Any] | None
) -> None:
    (books.folder / folder).mkdir()
    source = with_plain_uri(write_parquet(books, make_rows(3), name=f"{folder}/part-0.parquet"))
    name = folder.partition("=")[0]
    with pytest.raises(SourceError, match=rf"has no column {name}, .* name of the folder {name}=…,.* are not read"):
        books.load(source, fields=parse_fields("fields", fields))
    assert books.dump() == {}
    books.load(source, fields=parse_fields("fields", {"id": "id"}))
    assert books.dump() == expected_dump(make_rows(3))


def test_ndjson_in_folders_of_namespaces_warns_that_they_are_not_read(
    books: BooksIndex, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("namespace=a", "namespace=b", "dt=2026-01-01"):
        (books.folder / name).mkdir()
    rows = make_rows(3)
    sources = [with_plain_uri(books.write_source(rows, f"namespace={name}/part-0.ndjson")) for name in "ab"]
    books.load(sources)
    assert caplog.text.count("namespace=…") == 1
    caplog.clear()
    books.load(with_plain_uri(books.write_source(rows, "dt=2026-01-01/part-0.ndjson")))
    books.load(sources, fields=parse_fields("fields", {"id": "id"}))
    assert "namespace=…" not in caplog.text


def test_load_with_other_fields_starts_over(books: BooksIndex, caplog: pytest.LogCaptureFixture) -> None:
    rows, store = vectors(10), MemoryStore()
    source = write_mapped_ndjson(books, rows)
    books.load(source, store=store, identity={"a": "b"}, fields=MAPPED)
    other = parse_fields("fields", {"id": "key", "values": "doc.embedding"})
    with caplog.at_level(logging.INFO):
        books.load(source, store=store, identity={"a": "b"}, fields=other)
    assert "fields changed" in caplog.text
    assert books.dump() == expected_dump([{"id": row["id"], "values": row["values"]} for row in rows])


def test_mapped_ndjson_row_without_a_field_is_a_bad_row(books: BooksIndex) -> None:
    with pytest.raises(BadRowError, match=r"the row has no field doc \(of doc\.embedding\)"):
        books.load(write_object_of(books, b'{"key": "a", "tenant": null, "title": "x"}\n'), fields=MAPPED)


def test_dead_letters_of_mapped_ndjson_can_be_corrected_and_loaded(books: BooksIndex) -> None:
    """A row that only Vectorize refuses (an empty ID) is kept as it was sent, and others as they are in the source."""
    rows = vectors(6)
    broken = [dict(row) for row in rows]
    broken[2]["values"] = [1.0]
    broken[4]["id"] = ""
    source = write_mapped_ndjson(books, broken)
    receipt = books.load(source, dead_letters=True, fields=MAPPED)
    assert (receipt.vectors, receipt.rejected) == (4, 2)
    letters = sorted(books.target.dead_letters(), key=lambda letter: letter["line"])
    corrected = [json.loads(letter["row"]) for letter in letters]
    assert ["doc" in row for row in corrected] == [True, False]
    corrected[0]["doc"]["embedding"] = rows[2]["values"]
    corrected[1]["id"] = rows[4]["id"]
    for letter, row in zip(letters, corrected, strict=True):
        letter["row"] = row
    books.load(books.write_source(ndjson(letters), "corrected.ndjson"), fields=MAPPED)
    assert books.dump() == expected_dump(rows)


def test_dead_letters_of_mapped_parquet_can_be_loaded_with_the_same_fields(books: BooksIndex) -> None:
    rows = vectors(3)
    broken = [*rows[:2], rows[2] | {"values": [1.0]}]
    books.load(write_mapped_parquet(books, broken), dead_letters=True, fields=MAPPED)
    (letter,) = books.target.dead_letters()
    letter["row"] = json.loads(letter["row"]) | {"values": rows[2]["values"]}
    books.load(books.write_source(ndjson([letter]), "corrected.ndjson"), fields=MAPPED)
    assert books.dump() == expected_dump(rows)


def write_object_of(books: BooksIndex, data: bytes) -> FileObject:
    path: Path = write_object(books.folder / "one.ndjson", data)
    return FileObject(path)


def test_parquet_without_rows_is_an_empty_source(books: BooksIndex) -> None:
    with pytest.raises(SourceError, match="The source is empty"):
        books.load(write_parquet(books, []))
