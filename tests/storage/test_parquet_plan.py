"""Plans and parts of Parquet in object storage: few and small requests, the same vectors as the whole object."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.conftest import DIMENSIONS, books, vectorize  # noqa: F401 - fixtures
from tests.storage.conftest import StorageFolder
from tests.storage.object_store import BUCKET, ObjectStore
from tests.support import NO_WAIT


def parquet(rows: int, row_group_size: int, dimensions: int = DIMENSIONS, first: int = 0) -> bytes:
    values = np.random.default_rng(first).standard_normal((rows, dimensions)).astype(np.float32)
    table = pa.table({
        "id": [f"v{first + number}" for number in range(rows)],
        "values": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), dimensions),
    })
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=row_group_size, compression="zstd")
    return file.getvalue()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split objects even if they are small."""
    monkeypatch.setattr("airflow_provider_vectorize.plan.shards.split_into_shards.__defaults__", (1_000,))


def requested_bytes(s3: ObjectStore, key: str) -> list[int]:
    """Return the number of bytes of each request for an object."""
    ranges = [request.range.removeprefix("bytes=").split("-") for request in s3.get_requests(key) if request.range]
    return [int(end) - int(start) + 1 for start, end in ranges]


@pytest.mark.usefixtures("small_parts")
def test_plan_of_parquet_loads_every_vector_once(folder: StorageFolder, books: LocalVectorize) -> None:  # noqa: F811
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    folder.put("night/a.parquet", parquet(300, 40))
    folder.put("night/b 1.parquet", parquet(100, 100, first=300))
    folder.put("night/_SUCCESS", b"")
    hook = VectorizeHook(limits=NO_WAIT)

    load_plan = hook.plan("books", f"{folder.base}/night/", shards=4, source_conn_id=folder.conn_id)
    receipts = [hook.load("books", arguments["source"]) for arguments in load_plan.kwargs()]

    assert (load_plan.vectors, load_plan.objects, len(receipts)) == (400, 2, 4)
    assert sum(receipt["vectors"] for receipt in receipts) == 400
    dump = books.dump("books")
    hook.load("books", f"{folder.base}/night/", source_conn_id=folder.conn_id)
    assert books.dump("books") == dump
    assert len(dump) == 400


@pytest.mark.parametrize("row_group_size", [1_000, 16_000], ids=["many row groups", "one row group"])
def test_plan_of_large_parquet_object_reads_few_bytes(
    s3: ObjectStore,
    books: LocalVectorize,  # noqa: F811
    row_group_size: int,
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.plan import footers

    content = parquet(16_000, row_group_size, dimensions=768)
    assert len(content) > 40 << 20
    s3.put("a.parquet", content)
    hook = VectorizeHook(limits=NO_WAIT)
    hook.create_index("wide", dimensions=768, metric="cosine")

    load_plan = hook.plan("wide", f"s3://store@{BUCKET}/a.parquet", shards=4)

    sizes = requested_bytes(s3, "a.parquet")
    assert load_plan.vectors == 16_000
    assert max(sizes) <= footers.READ_BYTES
    assert sum(sizes) < len(content) / 2
    assert len(sizes) < 60


def test_part_of_parquet_reads_its_own_row_groups(s3: ObjectStore, books: LocalVectorize) -> None:  # noqa: F811
    from airflow_provider_vectorize import storage
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    content = parquet(200_000, 10_000)
    s3.put("a.parquet", content)
    middle = len(content) // 2
    part: Any = f"s3://store@{BUCKET}/a.parquet#bytes={middle}-{middle + len(content) // 10}"

    receipt = VectorizeHook(limits=NO_WAIT).load("books", part)

    assert receipt["vectors"] == 20_000
    block = storage.random_access.BLOCK_BYTES
    assert sum(requested_bytes(s3, "a.parquet")) <= len(content) // 10 + 3 * block
