"""Tests of reading any bytes of an object with few requests."""

from __future__ import annotations

import io
import random
from itertools import pairwise

import numpy as np
import pytest

from airflow_provider_vectorize.storage.random_access import BLOCK_BYTES, KEPT_BYTES, RandomAccessFile

MB = 1 << 20
CONTENT = np.random.default_rng(1).bytes(48 * MB)


class Ranges:
    """Reads a content and records the ranges."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.ranges: list[tuple[int, int]] = []

    def read(self, start: int, end: int) -> bytes:
        self.ranges.append((start, end))
        return self.content[start:end]

    def open(self) -> io.BufferedReader:
        return io.BufferedReader(RandomAccessFile(self.read, len(self.content)))

    @property
    def fetched(self) -> int:
        return sum(end - start for start, end in self.ranges)


def test_random_access_any_reads_return_the_content() -> None:
    rng, ranges = random.Random(1), Ranges()
    file = ranges.open()
    for _ in range(300):
        start = rng.choice([rng.randrange(len(CONTENT)), len(CONTENT) - rng.randrange(2 * MB)])
        size = rng.choice([1, 8, 70_000, MB, 9 * MB])
        file.seek(start)
        assert file.read(size) == CONTENT[start : start + size]
    file.seek(-8, io.SEEK_END)
    assert file.read() == CONTENT[-8:]
    assert file.read(1) == b""


def test_random_access_reads_in_order_fetch_each_byte_once() -> None:
    ranges = Ranges()
    file = ranges.open()
    while file.read(MB):
        pass
    assert ranges.ranges == list(pairwise(range(0, len(CONTENT) + 1, BLOCK_BYTES)))


@pytest.mark.parametrize("columns", [2, 4, 5])
def test_random_access_few_columns_in_turns_fetch_each_byte_once(columns: int) -> None:
    ranges = Ranges()
    read_columns_in_turns(ranges, columns)
    assert ranges.fetched == len(CONTENT)
    assert len(ranges.ranges) <= len(CONTENT) / BLOCK_BYTES + columns


@pytest.mark.parametrize("columns", [6, 8, 12, 24, 48])
def test_random_access_many_columns_in_turns_fetch_few_bytes_twice(columns: int) -> None:
    """Blocks become smaller once some of them had to be fetched again."""
    ranges = Ranges()
    read_columns_in_turns(ranges, columns)
    assert ranges.fetched <= len(CONTENT) + 3 * KEPT_BYTES
    assert len(ranges.ranges) <= len(CONTENT) / MB + 3 * KEPT_BYTES / MB


def read_columns_in_turns(ranges: Ranges, columns: int) -> None:
    """Read equal stretches of the content in turns, a megabyte of each at a time, as Parquet columns are read."""
    size = len(CONTENT) // columns
    positions = [number * size for number in range(columns)]
    file = ranges.open()
    for _ in range(0, size, MB):
        for number, position in enumerate(positions):
            end = min(position + MB, (number + 1) * size)
            file.seek(position)
            assert file.read(end - position) == CONTENT[position:end]
            positions[number] = end
