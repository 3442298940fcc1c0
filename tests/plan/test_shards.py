"""Test how a source is split into shards by the sizes of its objects."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_vectorize.plan.shards import ObjectRange, ObjectSize, Shard, split_into_shards

OBJECTS = st.lists(st.builds(ObjectSize, st.integers(0, 1_000), st.booleans(), st.none()), min_size=1, max_size=20)
#: The sizes of the row groups of objects.
ROW_GROUPS = st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=6), min_size=1, max_size=4)


def shard_sizes(shards: list[Shard]) -> list[int]:
    return [sum(part.end - part.start for part in shard) for shard in shards]


@given(OBJECTS, st.integers(1, 12), st.integers(1, 300))
def test_split_into_shards_keeps_order_and_covers_source(
    objects: list[ObjectSize], max_shards: int, min_part_bytes: int
) -> None:
    shards = split_into_shards(objects, max_shards, min_part_bytes)

    ranges = [part for shard in shards for part in shard]
    assert [part.object for part in ranges] == sorted(part.object for part in ranges)
    for number, known in enumerate(objects):
        own = [part for part in ranges if part.object == number]
        assert (own[0].start, own[-1].end) == (0, known.size)
        assert all(a.end == b.start for a, b in pairwise(own))
        assert len(own) == 1 or (known.divisible and all(part.end - part.start >= min_part_bytes for part in own))
    assert 1 <= len(shards) <= max_shards
    assert all(len({part.object for part in shard}) == len(shard) > 0 for shard in shards)


@given(OBJECTS, st.integers(1, 12))
def test_split_into_shards_sizes_are_balanced(objects: list[ObjectSize], max_shards: int) -> None:
    indivisible = max((known.size for known in objects if not known.divisible), default=0)
    share = -(-sum(known.size for known in objects) // max_shards)

    assert max(shard_sizes(split_into_shards(objects, max_shards, min_part_bytes=1))) <= share + indivisible + 1


@pytest.mark.parametrize("max_shards", [1, 2, 7, 16])
def test_split_into_shards_large_object_makes_all_parts(max_shards: int) -> None:
    shards = split_into_shards([ObjectSize(1_000_000, True)], max_shards, 1_000)
    assert len(shards) == max_shards
    assert max(shard_sizes(shards)) - min(shard_sizes(shards)) < max_shards


def test_split_into_shards_small_objects_make_fewer_shards() -> None:
    assert split_into_shards([ObjectSize(5_000, True)], 16, 1_000_000) == [[ObjectRange(0, 0, 5_000)]]
    assert len(split_into_shards([ObjectSize(5, False)] * 3, 16)) == 3


def test_split_into_shards_indivisible_objects_stay_whole() -> None:
    shards = split_into_shards(
        [ObjectSize(60, False), ObjectSize(60, False), ObjectSize(60, False), ObjectSize(60, False)], 2, 1
    )
    assert shard_sizes(shards) == [120, 120]


def test_split_into_shards_large_indivisible_object_is_alone() -> None:
    shards = split_into_shards([ObjectSize(300, True), ObjectSize(400, False), ObjectSize(300, True)], 4, 10)
    assert shard_sizes(shards) == [300, 400, 300]


def split_at_cuts(row_groups: list[list[int]]) -> list[ObjectSize]:
    return [ObjectSize(sum(groups), True, list(accumulate(groups[:-1]))) for groups in row_groups]


def smallest_largest_shard(sizes: list[int], max_shards: int) -> int:
    """Return the size of the largest shard in the best of all ways to split a list of sizes."""
    if max_shards == 1 or not sizes:
        return sum(sizes)
    first_shards = [sum(sizes[:count]) for count in range(1, len(sizes) + 1)]
    return min(
        max(first, smallest_largest_shard(sizes[count:], max_shards - 1)) for count, first in enumerate(first_shards, 1)
    )


@given(ROW_GROUPS, st.integers(1, 4))
def test_split_into_shards_at_cuts_is_as_even_as_possible(row_groups: list[list[int]], max_shards: int) -> None:
    shards = split_into_shards(split_at_cuts(row_groups), max_shards, min_part_bytes=1)

    best = smallest_largest_shard([size for groups in row_groups for size in groups], max_shards)
    assert len(shards) <= max_shards
    assert max(shard_sizes(shards)) == best


@given(ROW_GROUPS, st.integers(1, 12), st.integers(1, 60))
def test_split_into_shards_at_cuts_keeps_order_and_covers_source(
    row_groups: list[list[int]], max_shards: int, min_part_bytes: int
) -> None:
    objects = split_at_cuts(row_groups)
    shards = split_into_shards(objects, max_shards, min_part_bytes)

    assert 1 <= len(shards) <= max_shards
    ranges = [part for shard in shards for part in shard]
    assert [part.object for part in ranges] == sorted(part.object for part in ranges)
    for number, known in enumerate(objects):
        own = [part for part in ranges if part.object == number]
        assert (own[0].start, own[-1].end) == (0, known.size)
        assert [part.end for part in own[:-1]] == [part.start for part in own[1:]]
        assert {part.start for part in own[1:]} <= set(known.cuts or ())
        assert len(own) == 1 or all(part.end - part.start >= min_part_bytes for part in own)
