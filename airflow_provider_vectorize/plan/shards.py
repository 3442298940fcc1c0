"""Split a source, by the sizes of its objects, into shards that are about equally large. No I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

#: Minimum size of a part of an object, because each part costs its task some requests to storage.
MIN_PART_BYTES = 16 << 20


class ObjectSize(NamedTuple):
    """The size of an object, and where it can be split.

    :param size: The bytes of its text, known or estimated.
    :param divisible: Whether it can be split.
    :param cuts: The bytes of its text at which it can be split, in ascending order. ``None``: at any byte.
    """

    size: int
    divisible: bool
    cuts: Sequence[int] | None = None

    def cut(self, start: int, free: int, min_part_bytes: int, *, may_exceed: bool) -> int | None:
        """Return where a part ends that begins at ``start``, or ``None`` if no part can end before the object does.

        :param start: First byte of the part.
        :param free: Bytes that the shard can still hold. The part is as large as possible within them.
        :param min_part_bytes: Minimum size of the part, and of the rest of the object.
        :param may_exceed: Whether the part may be larger than ``free`` if the object cannot be split within it. It is
            then as small as possible.
        """
        first, last = start + min_part_bytes, self.size - min_part_bytes
        if not self.divisible:
            return None
        if self.cuts is None:
            return start + free if first <= start + free <= last else None
        fitting = bisect_right(self.cuts, min(start + free, last)) - 1
        if fitting >= 0 and self.cuts[fitting] >= first:
            return self.cuts[fitting]
        following = bisect_left(self.cuts, first)
        exceeds = may_exceed and following < len(self.cuts) and self.cuts[following] <= last
        return self.cuts[following] if exceeds else None


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
    """Fill shards of at most ``capacity`` bytes. Only what is larger and cannot be split exceeds it."""
    shards: list[Shard] = [[]]
    free = capacity
    for number, known in enumerate(objects):
        start = 0
        while known.size - start > free:
            cut = known.cut(start, free, min_part_bytes, may_exceed=not shards[-1])
            if cut is not None:
                shards[-1].append(ObjectRange(number, start, cut))
                start = cut
            elif not shards[-1]:
                break  # The object does not fit into any shard.
            shards.append([])
            free = capacity
        shards[-1].append(ObjectRange(number, start, known.size))
        free = max(0, free - (known.size - start))
    return shards
