"""``.zst`` as text, one block at a time, so that a few bytes never become much text at once.

The library returns all the text of the bytes that it is given, though four bytes can stand for 128 KB, and does not
report a missing end. To do better takes no more than the headers of frames and blocks, which hold the sizes
(RFC 8878, section 3.1.1).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.sources.lines import Readable

#: The largest window that is unpacked: as much memory is needed for it. The ``zstd`` command's own limit.
WINDOW_BYTES = 128 << 20
#: The largest window that the command can make.
LARGEST_WINDOW_BYTES = 2 << 30
_SKIPPABLE = 0x184D2A50
_RLE = 1
_PIECE_BYTES = 1 << 20


class BadZstdError(ValueError):
    """These bytes are no zstd data."""


def unpack(raw: Readable, name: str) -> Iterator[bytes]:
    """Yield the text of an object, at most a block (128 KB) at a time.

    :param raw: the object as stored; it gives as many bytes as it is asked for, but at its end.
    :param name: its name, for messages.
    :raises EOFError: the end of a frame is missing.
    :raises BadZstdError: the bytes are no zstd data; so do the library's own errors.
    :raises SourceError: a frame needs more than :data:`WINDOW_BYTES` of memory.
    """
    zstandard = _library()
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    while magic := raw.read(4):
        if int.from_bytes(magic, "little") & ~0xF == _SKIPPABLE:
            _skip(raw, int.from_bytes(_read(raw, 4), "little"))
            continue
        head = magic + _read(raw, 1)
        head += _read(raw, zstandard.frame_header_size(head) - len(head))
        parameters = zstandard.get_frame_parameters(head)
        if parameters.window_size > LARGEST_WINDOW_BYTES:
            raise BadZstdError("the header of a frame is damaged")
        if parameters.window_size > WINDOW_BYTES:
            raise _too_large_a_window(parameters.window_size, name)
        yield from _unpack_frame(raw, head, 4 * parameters.has_checksum, decompressor.decompressobj())


def _unpack_frame(raw: Readable, head: bytes, checksum: int, frame: Any) -> Iterator[bytes]:
    data, last = head, False
    while not last:
        header = _read(raw, 3)
        bits = int.from_bytes(header, "little")
        last, kind, size = bool(bits & 1), bits >> 1 & 3, bits >> 3
        rest = _read(raw, (1 if kind == _RLE else size) + checksum * last)
        if text := frame.decompress(b"".join((data, header, rest))):
            yield text
        data = b""
    if not frame.eof:
        raise BadZstdError("a frame does not end after its last block")


def _read(raw: Readable, size: int) -> bytes:
    """Exactly so many bytes."""
    data = raw.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _skip(raw: Readable, size: int) -> None:
    while size:
        size -= len(_read(raw, min(size, _PIECE_BYTES)))


def _too_large_a_window(size: int, name: str) -> SourceError:
    return SourceError(
        f"{name} was compressed with zstd --long={(size - 1).bit_length()}: unpacking it takes {size >> 20:,} MB of "
        f"memory, and at most {WINDOW_BYTES >> 20} MB are used. Compress it again with --long=27 or without --long.",
        uri=name,
    )


def _library() -> Any:
    try:
        import zstandard  # noqa: PLC0415 - only who has .zst objects needs it
    except ImportError:
        raise ConfigError(
            "A .zst object needs the package zstandard: pip install 'airflow-provider-vectorize[zstd]'."
        ) from None
    return zstandard


class ZstdStream(io.RawIOBase):
    """The text of an object as a raw stream.

    :param raw: the object as stored.
    :param name: its name, for messages.
    """

    def __init__(self, raw: Readable, name: str) -> None:
        self._pieces = unpack(raw, name)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Return true: this is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes, perhaps not all of it."""
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        view = memoryview(buffer)
        size = min(len(view), len(self._left))
        view[:size], self._left = self._left[:size], self._left[size:]
        return size
