"""Read any bytes of an object in a store, as libraries for file formats do, with few requests."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

#: Bytes of one request, and number of blocks that are kept. Several columns are read in turns, each in order.
BLOCK_BYTES = 4 << 20
KEPT_BLOCKS = 6


class RandomAccessFile(io.RawIOBase):
    """A read-only file of an object's stored bytes.

    :param read: Returns the bytes from a start to an end, which is exclusive.
    :param size: Size of the object in bytes.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self._size = size
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

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
        number, start = divmod(self._position, BLOCK_BYTES)
        piece = memoryview(self._block(number))[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _block(self, number: int) -> bytes:
        block = self._blocks.pop(number, None)
        if block is None:
            if len(self._blocks) == KEPT_BLOCKS:
                self._blocks.popitem(last=False)
            block = self._read(number * BLOCK_BYTES, min((number + 1) * BLOCK_BYTES, self._size))
        self._blocks[number] = block
        return block
