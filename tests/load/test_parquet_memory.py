"""Test that a load of Parquet needs bounded memory, whatever the size of a row group."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.support import create_index

ROOT = Path(__file__).parents[2]
DIMENSIONS = 768
ROWS = 50_000
#: Megabytes that a load may need more than the load of one row.
ALLOWED_MB = 160

SCRIPT = """
import io, json, os, re, sys
from contextlib import contextmanager
from pathlib import Path
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.storage.random_access import RandomAccessFile
from tests.support import FileObject

class RangesObject(FileObject):
    @contextmanager
    def open_file(self, block_bytes=None):
        with super().open_file() as file:
            read = lambda start, end: os.pread(file.fileno(), end - start, start)
            yield io.BufferedReader(RandomAccessFile(read, self.size))

def load(path):
    client = VectorizeClient(Credentials(account, token, base_url=url))
    return run(client, "upsert", client.get_index("vectors"), [RangesObject(Path(path))], LoadOptions())

def memory(field):
    return int(re.search(field + r":\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

account, token, url, one_row, path = sys.argv[1:]
load(one_row)
before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
vectors = load(path).vectors
sys.stdout.write("\\n" + json.dumps([vectors, memory("VmHWM") - before]))
"""


@pytest.fixture(scope="module")
def local() -> Iterator[LocalVectorize]:
    with LocalVectorize.start(extra_args=["--no-sync"]) as local_vectorize:
        create_index(local_vectorize, "vectors", DIMENSIONS)
        yield local_vectorize


def write_parquet(path: Path, rows: int, value_type: pa.DataType, group: int, compression: str) -> Path:
    values = np.random.default_rng(1).standard_normal((2_000, DIMENSIONS), np.float32)
    schema = pa.schema([("id", pa.string()), ("values", pa.list_(value_type)), ("title", pa.string())])
    with pq.ParquetWriter(path, schema, compression=compression) as writer:
        numbers = np.arange(rows)
        flat = pa.array(values[numbers % len(values)].ravel()).cast(value_type)
        ends = pa.array(np.arange(rows + 1, dtype=np.int32) * DIMENSIONS)
        ids, titles = ([f"{text}{number}" for number in range(rows)] for text in ("v", "title "))
        table = pa.Table.from_arrays(
            [pa.array(ids), pa.ListArray.from_arrays(ends, flat), pa.array(titles)], schema=schema
        )
        writer.write_table(table, group)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value_type", "compression", "group"),
    [
        (pa.float32(), "snappy", ROWS),
        (pa.float64(), "zstd", ROWS),
        (pa.float32(), "zstd", 1_000),
    ],
    ids=["one row group", "one row group of float64", "many row groups"],
)
def test_load_parquet_memory_does_not_grow_with_the_row_group(
    local: LocalVectorize, tmp_path: Path, value_type: pa.DataType, compression: str, group: int
) -> None:
    one_row = write_parquet(tmp_path / "one.parquet", 1, value_type, 1, compression)
    path = write_parquet(tmp_path / "all.parquet", ROWS, value_type, group, compression)
    arguments = [local.account_id, local.token, local.base_url, str(one_row), str(path)]
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    vectors, over_mb = json.loads(process.stdout.splitlines()[-1])  # Airflow may log before
    assert vectors == ROWS
    assert over_mb < ALLOWED_MB
