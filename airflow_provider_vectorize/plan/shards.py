"""Sizes in, shards out: a source cut into lists of whole objects and parts, each about as much work as the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: A large object is not cut into less than this: each part costs a task some requests to storage.
LEAST_PART = 16 << 20


class Item(NamedTuple):
    """An object to be dealt out.

    :param size: bytes of its text, known or estimated.
    :param divisible: it may be cut anywhere, up to the next end of a line.
    """

    size: int
    divisible: bool


class Piece(NamedTuple):
    """An object, or bytes of it.

    :param item: the object's number.
    :param start: the first byte.
    :param end: the byte after the last one.
    """

    item: int
    start: int
    end: int


def deal(items: Sequence[Item], most: int, least: int = LEAST_PART) -> list[list[Piece]]:
    """Cut the source into at most so many shards, the largest of which is as small as possible.

    Shards follow each other as the source does: each is a stretch of it, and holds at most one part of an object.

    :param most: shards, 1 or more.
    :param least: bytes of the smallest part.
    """
    total = sum(item.size for item in items)
    low, high = -(-total // most), total
    while low < high:
        middle = (low + high) // 2
        if len(_fill(items, middle, least)) <= most:
            high = middle
        else:
            low = middle + 1
    return _fill(items, high, least)


def _fill(items: Sequence[Item], room: int, least: int) -> list[list[Piece]]:
    """Shards of so many bytes; of more, where an object is larger and cannot be cut."""
    shards: list[list[Piece]] = [[]]
    left = room
    for number, item in enumerate(items):
        at = 0
        while item.size - at > left:
            rest = item.size - at - left
            if item.divisible and left >= least and rest >= least:
                shards[-1].append(Piece(number, at, at + left))
                at += left
            elif not shards[-1]:
                break  # it does not fit anywhere
            shards.append([])
            left = room
        shards[-1].append(Piece(number, at, item.size))
        left = max(0, left - (item.size - at))
    return shards
