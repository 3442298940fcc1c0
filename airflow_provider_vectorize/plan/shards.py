"""Split a source, by the sizes of its objects, into shards that are about equally large. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: Minimum size of a part of an object, because each part costs its task some requests to storage.
MIN_PART_BYTES = 16 << 20


class ObjectSize(NamedTuple):
    """The size of an object, and whether it can be split.

    :param size: The bytes of its text, known or estimated.
    :param divisible: Whether it can be split, at the ends of lines.
    """

    size: int
    divisible: bool


class ObjectRange(NamedTuple):
    """An object of the source, or a byte range of it.

    :param object: The number of the object.
    :param start: The first byte.
    :param end: The byte after the last one.
    """

    object: int
    start: int
    end: int


Shard = list[ObjectRange]


def split_into_shards(
    objects: Sequence[ObjectSize], max_shards: int, min_part_bytes: int = MIN_PART_BYTES
) -> list[Shard]:
    """Split the source into shards, so that the largest shard is as small as possible.

    The shards keep the order of the source. Each is a stretch of it, and holds at most one range of an object.

    :param objects: The sizes of the objects, in the order of the source.
    :param max_shards: Maximum number of shards, at least 1.
    :param min_part_bytes: Minimum size of a part of an object. Default: 16 MiB.
    """
    total = sum(known.size for known in objects)
    low, high = -(-total // max_shards), total
    while low < high:
        middle = (low + high) // 2
        if len(_fill_shards(objects, middle, min_part_bytes)) <= max_shards:
            high = middle
        else:
            low = middle + 1
    return _fill_shards(objects, high, min_part_bytes)


def _fill_shards(objects: Sequence[ObjectSize], capacity: int, min_part_bytes: int) -> list[Shard]:
    """Fill shards of at most ``capacity`` bytes. Only an object that is larger and indivisible exceeds it."""
    shards: list[Shard] = [[]]
    free = capacity
    for number, (size, divisible) in enumerate(objects):
        start = 0
        while size - start > free:
            rest = size - start - free
            if divisible and free >= min_part_bytes and rest >= min_part_bytes:
                shards[-1].append(ObjectRange(number, start, start + free))
                start += free
            elif not shards[-1]:
                break  # The object does not fit into any shard.
            shards.append([])
            free = capacity
        shards[-1].append(ObjectRange(number, start, size))
        free = max(0, free - (size - start))
    return shards
