"""Blocks of an object that is read in order are fetched ahead, and never more of them than will be read."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import pytest

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.storage import streams
from airflow_provider_vectorize.storage.store import FetchedRange, ObjectChanged
from airflow_provider_vectorize.storage.streams import AHEAD_BLOCKS, ObjectStream

BLOCK = 1_000
CONTENT = bytes(number % 251 for number in range(20 * BLOCK + 7))
SECONDS = 30.0


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", BLOCK)


class Store:
    """Returns ranges of the content and records them."""

    def __init__(self, before_each: Callable[[int], object] = lambda _: None) -> None:
        self.starts: list[int] = []
        self._before_each = before_each

    def fetch_range(self, start: int, end: int) -> FetchedRange:
        self.starts.append(start)
        self._before_each(start)
        return FetchedRange(CONTENT[start:end], len(CONTENT))


def test_stream_in_order_returns_the_object_and_fetches_each_block_once() -> None:
    store = Store()
    with ObjectStream(store.fetch_range, "s3://b/k", ahead_to=math.inf) as stream:
        assert b"".join(iter(lambda: stream.read(333), b"")) == CONTENT
    assert sorted(store.starts) == list(range(0, len(CONTENT), BLOCK))


def test_stream_in_order_fetches_several_blocks_at_a_time() -> None:
    together = threading.Barrier(AHEAD_BLOCKS)
    later = range(2 * BLOCK, (2 + AHEAD_BLOCKS) * BLOCK, BLOCK)
    store = Store(lambda start: together.wait(SECONDS) if start in later else None)
    with ObjectStream(store.fetch_range, "s3://b/k", ahead_to=math.inf) as stream:
        assert stream.read(BLOCK) + stream.read(BLOCK) + stream.read(BLOCK) == CONTENT[: 3 * BLOCK]
    assert not together.broken


@pytest.mark.parametrize(
    ("ahead_to", "read", "fetched"),
    [
        pytest.param(math.inf, [(0, BLOCK)], [0], id="only the first block is read"),
        pytest.param(0, [(0, BLOCK), (BLOCK, BLOCK)], [0, BLOCK], id="nothing may be fetched ahead"),
        pytest.param(3 * BLOCK, [(0, BLOCK), (BLOCK, BLOCK)], [0, BLOCK, 2 * BLOCK], id="a part ends"),
        pytest.param(math.inf, [(5_000, BLOCK), (1_000, BLOCK)], [5_000, 1_000], id="in another order"),
        pytest.param(
            math.inf,
            [(18 * BLOCK, BLOCK), (19 * BLOCK, BLOCK)],
            [18 * BLOCK, 19 * BLOCK, 20 * BLOCK],
            id="the object ends",
        ),
    ],
)
def test_stream_fetches_no_block_that_is_not_read(
    ahead_to: float, read: list[tuple[int, int]], fetched: list[int]
) -> None:
    store = Store()
    with ObjectStream(store.fetch_range, "s3://b/k", ahead_to=ahead_to) as stream:
        for start, size in read:
            stream.seek(start)
            assert stream.read(size) == CONTENT[start : start + size]
        for block in list(stream._ahead._blocks.values()):
            block.result(SECONDS)
    assert store.starts == fetched


def test_stream_raises_the_error_of_a_block_where_it_is_read() -> None:
    def change(start: int) -> None:
        if start >= 4 * BLOCK:
            raise ObjectChanged

    with ObjectStream(Store(change).fetch_range, "s3://b/k", ahead_to=math.inf) as stream:
        assert b"".join(stream.read(BLOCK) for _ in range(4)) == CONTENT[: 4 * BLOCK]
        with pytest.raises(SourceError, match="s3://b/k"):
            stream.read(BLOCK)


def test_stream_that_is_left_fetches_no_more() -> None:
    first, go = threading.Event(), threading.Event()

    def wait(start: int) -> None:
        if start >= 2 * BLOCK:
            first.set()
            go.wait(SECONDS)

    store = Store(wait)
    with ObjectStream(store.fetch_range, "s3://b/k", ahead_to=math.inf) as stream:
        stream.read(BLOCK)
        stream.read(BLOCK)
        assert first.wait(SECONDS)
    go.set()
    assert len(store.starts) <= 2 + AHEAD_BLOCKS
