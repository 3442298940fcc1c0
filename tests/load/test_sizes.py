"""Test large sources: no request is too large, and memory does not grow."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from tests.support import FileObject, create_index, expected_dump, make_rows

from .conftest import BooksIndex

ROOT = Path(__file__).parents[2]


def test_load_5001_small_vectors_makes_two_requests(books: BooksIndex) -> None:
    receipt = books.load(make_rows(5_001), limits=LIMITS)
    assert sorted(request.vectors for request in books.write_requests()) == [1, 5_000]
    assert (receipt.vectors, receipt.batches) == (5_001, 2)


@pytest.mark.parametrize("max_bytes", [2_000, 10_000])
def test_load_requests_respect_byte_limit_and_are_fewest(books: BooksIndex, max_bytes: int) -> None:
    rows = make_rows(200)
    receipt = books.load(rows, limits=Limits(bytes_per_request=max_bytes), float32_text="never", max_in_flight=1)
    fewest, sizes = [0], [len(json.dumps(row)) + 1 for row in rows]
    for size in sizes:
        if fewest[-1] + size > max_bytes:
            fewest.append(0)
        fewest[-1] += size
    assert [request.body_bytes for request in books.write_requests()] == fewest
    assert (receipt.bytes_sent, receipt.batches) == (sum(sizes), len(fewest))

    shorter = books.load(rows, limits=Limits(bytes_per_request=max_bytes), float32_text="always")
    assert shorter.bytes_sent < 0.7 * receipt.bytes_sent
    assert max(request.body_bytes for request in books.write_requests()) <= max_bytes
    assert books.dump() == expected_dump(rows)


@pytest.mark.slow
@pytest.mark.parametrize(("float32_text", "requests"), [("never", 2), ("auto", 1)])
def test_load_1536_dimensions_requests_stay_below_100_mb(books: BooksIndex, float32_text: Any, requests: int) -> None:
    create_index(books.local, "wide", 1_536)
    books.name = "wide"
    values = json.dumps(np.random.default_rng(1).standard_normal(1_536).tolist())
    count = 100_000_000 // len(values) + 5
    path = books.folder / "wide.ndjson"
    with open(path, "w") as file:
        file.writelines(f'{{"id": "v{number}", "values": {values}}}\n' for number in range(count))
    assert path.stat().st_size > 100_000_000

    receipt = books.load(FileObject(path), limits=LIMITS, float32_text=float32_text)

    sizes = [request.body_bytes for request in books.write_requests()]
    assert len(sizes) == requests
    assert all(size <= 100_000_000 for size in sizes)
    assert (receipt.vectors, receipt.batches) == (count, requests)
    assert books.local.count("wide") == count


SCRIPT = """
import re, sys
from pathlib import Path
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from tests.support import FileObject
account, token, url, path = sys.argv[1:]
client = VectorizeClient(Credentials(account, token, base_url=url))
options = LoadOptions(float32_text="never", limits=Limits(vectors_per_request=250))
receipt = run(client, "upsert", client.get_index("memory"), [FileObject(Path(path))], options)
peak = re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]
sys.stdout.write(f"{receipt.vectors} {peak}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_load_large_source_memory_does_not_grow(books: BooksIndex, suffix: str) -> None:
    create_index(books.local, "memory", 768)
    peaks = []
    for megabytes in (50, 200):
        path = write_large_source(megabytes, books.folder / f"source-{megabytes}.ndjson{suffix}")
        local = books.local
        command = [sys.executable, "-c", SCRIPT, local.account_id, local.token, local.base_url, str(path)]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        vectors, kilobytes = map(int, process.stdout.split())
        assert vectors == megabytes * 60
        peaks.append(kilobytes / 1_024)
        path.unlink()
    small, large = peaks
    assert large < small + 15, f"{small:.0f} MB of memory for 50 MB, {large:.0f} MB for 200 MB"


def open_for_writing(path: Path) -> Any:
    """Open a file for writing, compressed as its name says."""
    if path.suffix == ".gz":
        return gzip.open(path, "wb", 1)
    if path.suffix == ".zst":
        return zstandard.open(path, "wb", zstandard.ZstdCompressor(1))
    return path.open("wb")


def write_large_source(megabytes: int, path: Path) -> Path:
    """Write a source of 60 rows of 768 dimensions per megabyte, with few distinct vectors."""
    texts = [json.dumps(row["values"]) for row in make_rows(50, dimensions=768)]
    with open_for_writing(path) as file:
        for number in range(megabytes * 60):
            file.write(f'{{"id": "v{number % 500}", "values": {texts[number % 50]}}}\n'.encode())
    return path
