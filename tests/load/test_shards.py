"""Sizes in, shards out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_vectorize.plan.shards import Item, Piece, deal

ITEMS = st.lists(st.builds(Item, st.integers(0, 1_000), st.booleans()), min_size=1, max_size=20)


def sizes(shards: list[list[Piece]]) -> list[int]:
    return [sum(piece.end - piece.start for piece in shard) for shard in shards]


@given(ITEMS, st.integers(1, 12), st.integers(1, 300))
def test_shards_are_the_source_in_its_order_and_nothing_else(items: list[Item], most: int, least: int) -> None:
    shards = deal(items, most, least)

    pieces = [piece for shard in shards for piece in shard]
    assert [p.item for p in pieces] == sorted(p.item for p in pieces)
    for number, item in enumerate(items):
        own = [p for p in pieces if p.item == number]
        assert (own[0].start, own[-1].end) == (0, item.size)
        assert all(a.end == b.start for a, b in pairwise(own))
        assert len(own) == 1 or (item.divisible and all(p.end - p.start >= least for p in own))
    assert 1 <= len(shards) <= most
    assert all(len({p.item for p in shard}) == len(shard) > 0 for shard in shards)


@given(ITEMS, st.integers(1, 12))
def test_no_shard_is_much_larger_than_its_share_but_for_an_object_that_cannot_be_cut(
    items: list[Item], most: int
) -> None:
    indivisible = max((item.size for item in items if not item.divisible), default=0)
    share = -(-sum(item.size for item in items) // most)

    assert max(sizes(deal(items, most, least=1))) <= share + indivisible + 1


@pytest.mark.parametrize("most", [1, 2, 7, 16])
def test_one_large_object_makes_as_many_parts_as_were_asked_for(most: int) -> None:
    shards = deal([Item(1_000_000, True)], most, 1_000)
    assert len(shards) == most
    assert max(sizes(shards)) - min(sizes(shards)) < most


def test_small_objects_are_not_cut_and_make_fewer_shards() -> None:
    assert deal([Item(5_000, True)], 16, 1_000_000) == [[Piece(0, 0, 5_000)]]
    assert len(deal([Item(5, False)] * 3, 16)) == 3


def test_compressed_objects_are_spread_whole() -> None:
    shards = deal([Item(60, False), Item(60, False), Item(60, False), Item(60, False)], 2, 1)
    assert sizes(shards) == [120, 120]


def test_a_large_compressed_object_has_a_shard_for_itself_and_what_can_be_cut_goes_around_it() -> None:
    shards = deal([Item(300, True), Item(400, False), Item(300, True)], 4, 10)
    assert sizes(shards) == [300, 400, 300]
