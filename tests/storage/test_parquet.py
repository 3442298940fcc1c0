"""Tests of Parquet objects in every kind of storage: loads, resumes, damage, changes, and what is fetched."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.sources.parquet import ParquetReader
from tests.airflow.conftest import books, row, vectorize  # noqa: F401 - fixtures
from tests.storage.cloud_storage import BUCKET as GOOGLE
from tests.storage.cloud_storage import CloudStorage
from tests.storage.object_store import BUCKET, ObjectStore
from tests.storage.servers import StoreUnderTest
from tests.storage.test_contents import cloud  # noqa: F401 - fixture
from tests.storage.test_loads import load  # noqa: F401 - fixture
from tests.storage.test_odd_keys import store  # noqa: F401 - fixture
from tests.support import MemoryStore

Load = Callable[..., dict[str, Any]]
MB = 1 << 20


def parquet(first: int, stop: int, group: int = 50) -> bytes:
    """Return an object with some rows. It has the same length for all of them."""
    rows = [row(number) for number in range(first, stop)]
    table = pa.table({
        "id": [vector["id"] for vector in rows],
        "values": pa.array([vector["values"] for vector in rows], pa.list_(pa.float32())),
        "metadata": [vector["metadata"] for vector in rows],
    })
    return written(table, row_group_size=group, compression="none", use_dictionary=False)


def written(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def ids(*numbers: int) -> set[str]:
    return {f"book-{number}" for number in numbers}


def test_load_folder_with_parquet_parts_loads_each_row(
    store: StoreUnderTest,  # noqa: F811
    books: LocalVectorize,  # noqa: F811
    load: Load,  # noqa: F811
) -> None:
    store.put("night/part-0.parquet", parquet(100, 400))
    store.put("night/part-1.parquet", parquet(400, 500))
    store.put("night/_SUCCESS", b"")

    receipt = load(store.uri("night/"), source_conn_id=store.conn_id)

    assert receipt["vectors"] == 400
    assert set(books.dump("books")) == ids(*range(100, 500))


def test_load_retry_of_parquet_resumes_after_acknowledged_rows(
    store: StoreUnderTest,  # noqa: F811
    books: LocalVectorize,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    from airflow_provider_vectorize.errors import ServerError
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    store.put("a.parquet", parquet(100, 400))
    hook = VectorizeHook(limits=Limits(vectors_per_request=40, late_seconds=0))
    options: dict[str, Any] = {
        "source_conn_id": store.conn_id,
        "max_in_flight": 1,
        "checkpoints": MemoryStore(),
        "identity": {"run": "1"},
    }
    books.fail("http_500", operation="upsert", after=4, times=None)
    with pytest.raises(ServerError):
        hook.load("books", store.uri("a.parquet"), **options)
    books.clear_faults()
    books.clear_requests()

    with caplog.at_level(logging.INFO):
        receipt = hook.load("books", store.uri("a.parquet"), **options)

    assert "Resuming from the last checkpoint at row 161 of" in caplog.text
    assert "(row group 3)" in caplog.text
    assert sum(request.vectors for request in books.requests("upsert")) == 300 - 160
    assert receipt["vectors"] == 300
    assert set(books.dump("books")) == ids(*range(100, 400))


def test_load_parquet_without_its_end_fails(
    store: StoreUnderTest,  # noqa: F811
    books: LocalVectorize,  # noqa: F811
    load: Load,  # noqa: F811
) -> None:
    from airflow_provider_vectorize.errors import SourceError

    store.put("a.parquet", parquet(100, 400)[:-100])

    with pytest.raises(SourceError, match=r"a\.parquet cannot be read as Parquet: it does not end as a Parquet file"):
        load(store.uri("a.parquet"), source_conn_id=store.conn_id)

    assert not books.requests("upsert")


def test_load_parquet_with_a_damaged_page_fails(
    store: StoreUnderTest,  # noqa: F811
    load: Load,  # noqa: F811
) -> None:
    from airflow_provider_vectorize.errors import SourceError

    store.put("a.parquet", b"PAR1" + b"\xff" * 64 + parquet(100, 400)[68:])

    with pytest.raises(SourceError, match=r"a\.parquet cannot be read as Parquet: it is damaged"):
        load(store.uri("a.parquet"), source_conn_id=store.conn_id)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_load_parquet_replaced_between_two_reads_fails(
    store: StoreUnderTest,  # noqa: F811
    load: Load,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """The footer, the first rows and the last rows never come from two versions of an object."""
    from airflow_provider_vectorize import storage
    from airflow_provider_vectorize.errors import SourceError
    from airflow_provider_vectorize.storage import random_access

    store.put("a.parquet", parquet(100, 900))
    monkeypatch.setattr(random_access, "BLOCK_BYTES", 40_000)
    reads = 0
    read = storage.StoredObject.read

    def replace_then_read(stored: Any, start: int, end: int) -> bytes:
        nonlocal reads
        reads += 1
        if reads == number:
            store.put("a.parquet", parquet(100, 900)[:-900] + parquet(101, 901)[-900:])
        return read(stored, start, end)

    monkeypatch.setattr(storage.StoredObject, "read", replace_then_read)
    if store.conn_id is None:
        pytest.skip("a local file is not read in ranges")

    with pytest.raises(SourceError, match=r"a\.parquet changed while it was read"):
        load(store.uri("a.parquet"), source_conn_id=store.conn_id)


def test_load_parquet_file_replaced_during_read_fails(
    store: StoreUnderTest,  # noqa: F811
    load: Load,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_provider_vectorize import storage
    from airflow_provider_vectorize.errors import SourceError

    store.put("a.parquet", parquet(100, 400))
    get_version = storage.StoredObject.current_version

    def replace_then_get_version(stored: Any) -> str:
        store.put("a.parquet", parquet(101, 401))
        return get_version(stored)

    monkeypatch.setattr(storage.StoredObject, "current_version", replace_then_get_version)

    with pytest.raises(SourceError, match=r"a\.parquet changed while it was read"):
        load(store.uri("a.parquet"), source_conn_id=store.conn_id)


def test_load_parquet_with_content_encoding_says_what_to_do(
    cloud: CloudStorage,  # noqa: F811
    books: LocalVectorize,  # noqa: F811
    load: Load,  # noqa: F811
) -> None:
    from airflow_provider_vectorize.errors import SourceError

    cloud.put("a.parquet", parquet(100, 400), "gzip")

    with pytest.raises(SourceError, match=r"a\.parquet .* content encoding gzip\. Store it without one\."):
        load(f"gs://{GOOGLE}/a.parquet", source_conn_id="cloud")


def test_load_parquet_with_content_encoding_of_the_upload_alone(
    s3: ObjectStore,
    books: LocalVectorize,  # noqa: F811
    load: Load,  # noqa: F811
) -> None:
    """Some stores keep ``aws-chunked``, which describes the upload and not the object."""
    s3.client.put_object(Bucket=BUCKET, Key="a.parquet", Body=parquet(100, 400), ContentEncoding="aws-chunked")

    assert load(f"s3://{BUCKET}/a.parquet", source_conn_id="store")["vectors"] == 300


# ---------------------------------------------------------------------------------------------- bytes that are fetched


def wide(columns: int, rows: int) -> pa.Table:
    """Return a table with values of 3 KB in each row, and columns with half a kilobyte of text each."""
    rng = np.random.default_rng(1)
    values = pa.array(rng.standard_normal(rows * 768, np.float32))
    ends = pa.array(np.arange(rows + 1, dtype=np.int32) * 768)
    texts = {f"t{n}": [rng.bytes(256).hex() for _ in range(rows)] for n in range(columns)}
    return pa.table({"id": [f"v{n}" for n in range(rows)], "values": pa.ListArray.from_arrays(ends, values), **texts})


def fetched(s3: ObjectStore, key: str) -> tuple[int, int]:
    """Return how many requests read an object, and how many bytes they asked for."""
    ranges = [request.range for request in s3.get_requests(key)]
    sizes = [int(end) - int(start) + 1 for start, _, end in ((text or "")[6:].partition("-") for text in ranges)]
    return len(sizes), sum(sizes)


def read_all(columns: list[str], start: int = 0) -> int:
    from airflow_provider_vectorize import storage

    (stored,) = storage.find(f"s3://store@{BUCKET}/a.parquet")
    with stored.open_file() as file:
        return sum(len(decoded.batch) for decoded in ParquetReader(file, stored.uri).read(columns, start))


@pytest.mark.parametrize("group", [12_000, 1_000], ids=["one row group", "many"])
@pytest.mark.parametrize("columns", [0, 3, 12])
def test_parquet_columns_read_in_turns_fetch_the_object_once(s3: ObjectStore, columns: int, group: int) -> None:
    table = wide(columns, 12_000)
    content = written(table, row_group_size=group, compression="none", use_dictionary=False)
    s3.put("a.parquet", content)

    assert read_all(table.column_names) == 12_000

    requests, size = fetched(s3, "a.parquet")
    # With 12 wide columns, some blocks are dropped before the blocks become small enough.
    assert size <= len(content) * 1.05 + (24 * MB if columns > 3 else MB)
    assert requests <= len(content) / (4 * MB if columns < 12 else MB) * 1.5 + columns + 4


def test_parquet_rows_of_the_last_row_group_fetch_only_that(s3: ObjectStore) -> None:
    table = wide(0, 12_000)
    s3.put("a.parquet", written(table, row_group_size=2_000, compression="none", use_dictionary=False))

    assert read_all(table.column_names, 10_500) == 1_500

    requests, size = fetched(s3, "a.parquet")
    assert size < 7 * MB
    assert requests <= 5


def test_parquet_columns_that_are_not_needed_are_not_fetched(s3: ObjectStore) -> None:
    table = wide(12, 12_000)
    content = written(table, compression="none", use_dictionary=False)
    s3.put("a.parquet", content)

    assert read_all(["id", "t11"]) == 12_000

    assert fetched(s3, "a.parquet")[1] < 20 * MB < len(content) / 4
