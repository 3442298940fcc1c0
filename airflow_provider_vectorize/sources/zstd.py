"""Decompress ``.zst`` objects one block at a time, so that a few bytes never expand to much text at once.

The zstandard library returns all the text of the bytes that it receives, although four bytes can stand for 128 KB. It
also does not report a missing end. Reading the headers of frames and blocks, which hold the sizes, is enough to avoid
both problems (RFC 8878, section 3.1.1).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.sources.lines import Readable

#: Largest window to decompress, which is the default limit of the ``zstd`` command. It takes this much memory.
WINDOW_BYTES = 128 << 20
#: Largest window that the ``zstd`` command can create.
LARGEST_WINDOW_BYTES = 2 << 30
_SKIPPABLE_FRAME = 0x184D2A50
_RLE_BLOCK = 1
_SKIP_BYTES = 1 << 20


class BadZstdError(ValueError):
    """The bytes are not zstd data."""


def unpack(raw: Readable, name: str) -> Iterator[bytes]:
    """Yield the text of an object, at most one block (128 KB) at a time.

    :param raw: The object as stored. It returns as many bytes as requested, except at its end.
    :param name: Name of the object, for messages.
    :raises EOFError: The end of a frame is missing.
    :raises BadZstdError: The bytes are not zstd data. The library also raises its own errors.
    :raises SourceError: A frame needs more than :data:`WINDOW_BYTES` of memory.
    """
    zstandard = _library()
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    while magic := raw.read(4):
        if int.from_bytes(magic, "little") & ~0xF == _SKIPPABLE_FRAME:
            _skip(raw, int.from_bytes(_read_exactly(raw, 4), "little"))
            continue
        head = magic + _read_exactly(raw, 1)
        head += _read_exactly(raw, zstandard.frame_header_size(head) - len(head))
        parameters = zstandard.get_frame_parameters(head)
        if parameters.window_size > LARGEST_WINDOW_BYTES:
            raise BadZstdError("the header of a frame is damaged")
        if parameters.window_size > WINDOW_BYTES:
            raise _window_error(parameters.window_size, name)
        yield from _unpack_frame(raw, head, 4 * parameters.has_checksum, decompressor.decompressobj())


def _unpack_frame(raw: Readable, head: bytes, checksum_bytes: int, frame: Any) -> Iterator[bytes]:
    data, is_last = head, False
    while not is_last:
        header = _read_exactly(raw, 3)
        bits = int.from_bytes(header, "little")
        is_last, kind, size = bool(bits & 1), bits >> 1 & 3, bits >> 3
        body = _read_exactly(raw, (1 if kind == _RLE_BLOCK else size) + checksum_bytes * is_last)
        if text := frame.decompress(b"".join((data, header, body))):
            yield text
        data = b""
    if not frame.eof:
        raise BadZstdError("a frame does not end after its last block")


def _read_exactly(raw: Readable, size: int) -> bytes:
    data = raw.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _skip(raw: Readable, size: int) -> None:
    while size:
        size -= len(_read_exactly(raw, min(size, _SKIP_BYTES)))


def _window_error(size: int, name: str) -> SourceError:
    return SourceError(
        f"{name} was compressed with zstd --long={(size - 1).bit_length()}: decompressing it takes {size >> 20:,} MB "
        f"of memory, but at most {WINDOW_BYTES >> 20} MB are allowed. Compress it again with --long=27 or without "
        "--long.",
        uri=name,
    )


def _library() -> Any:
    try:
        import zstandard  # noqa: PLC0415 - an optional dependency, needed for .zst objects only
    except ImportError:
        raise ConfigError(
            "A .zst object needs the package zstandard: pip install 'airflow-provider-vectorize[zstd]'."
        ) from None
    return zstandard


class ZstdStream(io.RawIOBase):
    """The text of a ``.zst`` object as a raw stream.

    :param raw: The object as stored.
    :param name: Name of the object, for messages.
    """

    def __init__(self, raw: Readable, name: str) -> None:
        self._texts = unpack(raw, name)
        self._remaining = memoryview(b"")

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read up to ``len(buffer)`` bytes into a buffer, and return their number."""
        if not self._remaining:
            self._remaining = memoryview(next(self._texts, b""))
        view = memoryview(buffer)
        size = min(len(view), len(self._remaining))
        view[:size], self._remaining = self._remaining[:size], self._remaining[size:]
        return size
