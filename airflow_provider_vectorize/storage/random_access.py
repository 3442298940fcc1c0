"""Read any bytes of an object in a store, as libraries for file formats do, with few requests."""

from __future__ import annotations

import io
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

#: Bytes of one request by default. If so many columns are read in turns that their blocks do not fit, blocks become
#: smaller.
BLOCK_BYTES = 4 << 20
#: Minimum size of a block: what a Parquet reader asks for at a time.
MIN_BLOCK_BYTES = 1 << 20
#: Bytes of the blocks that are kept.
KEPT_BYTES = 24 << 20
#: Number of blocks to remember after they were dropped.
_REMEMBERED_BLOCKS = 64


class _Block(NamedTuple):
    start: int
    data: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class RandomAccessFile(io.RawIOBase):
    """A read-only file of an object's stored bytes.

    A block begins where it is first needed, ends where an earlier one began, and is kept until others need its memory.
    Several columns of a Parquet object, each read in order, therefore fetch each of their bytes once.

    :param read: Returns the bytes from a start to an end, which is exclusive.
    :param size: Size of the object in bytes.
    :param block_bytes: Bytes of one request. Default: :data:`BLOCK_BYTES`.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int, block_bytes: int | None = None) -> None:
        self._read = read
        self._size = size
        self._block_bytes = block_bytes or BLOCK_BYTES
        self._position = 0
        self._blocks: deque[_Block] = deque()  #: The block that was used last is at the end.
        self._dropped: deque[range] = deque(maxlen=_REMEMBERED_BLOCKS)
        self._starts: list[int] = [size]  #: Where blocks began, in order, and the end of the object.

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._size:
            return 0
        block = self._find() or self._fetch()
        start = self._position - block.start
        piece = memoryview(block.data)[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _find(self) -> _Block | None:
        """Return the kept block that holds the current position."""
        for block in self._blocks:
            if block.start <= self._position < block.end:
                self._blocks.remove(block)
                self._blocks.append(block)
                return block
        return None

    def _fetch(self) -> _Block:
        start = self._position
        if any(start in dropped for dropped in self._dropped):
            # The same bytes are fetched again, because their block was dropped before it was used.
            self._block_bytes = min(self._block_bytes, max(MIN_BLOCK_BYTES, self._block_bytes // 2))
            self._dropped.clear()
        while self._blocks and sum(len(block.data) for block in self._blocks) + self._block_bytes > KEPT_BYTES:
            dropped = self._blocks.popleft()
            self._dropped.append(range(dropped.start, dropped.end))
        following = self._starts[bisect_right(self._starts, start)]
        insort(self._starts, start)
        block = _Block(start, self._read(start, min(start + self._block_bytes, following)))
        self._blocks.append(block)
        return block
