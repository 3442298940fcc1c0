"""Open compressed objects as streams of text, and detect a missing end."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from isal import igzip
from isal.igzip_lib import IsalError

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.sources.lines import Readable, Text
from airflow_provider_vectorize.sources.source_file import SourceFile
from airflow_provider_vectorize.sources.zstd import BadZstdError, ZstdStream, unpack

#: Size of the buffers between an object, its decompressors and the reader.
BUFFER_BYTES = 1 << 20
#: Minimum size of a file that batches are sent from. Smaller files are copied, because a batch with rows of hundreds of
#: them would keep as many files open.
MIN_OPEN_FILE_BYTES = 4 << 20
#: Bytes of gzip data that a survey decompresses at a time. They can expand to a thousand times as much text.
_STEP_BYTES = 1 << 10
#: First bytes of compressed objects, with name and suffix of the format. No line of JSON begins with them.
_MAGIC = {b"\x1f\x8b": ("gzip", ".gz"), b"\x28\xb5\x2f\xfd": ("zstd", ".zst")}
#: Content encodings of such objects, with the suffix of the format.
_ENCODINGS = {"gzip": ".gz", "x-gzip": ".gz", "zstd": ".zst"}


def open_text(raw: Any, name: str, offset: int, *, key: str = "", encoding: Callable[[], str] = str) -> Text:
    """Return the decompressed text of an object, from an offset on.

    The first bytes decide what is decompressed. The key announces one layer of compression. The store's metadata may
    announce another one, which the store or a client may have removed, with or without the layer of the key.

    :param raw: The object as a binary file, at its beginning.
    :param name: Name of the object, for errors.
    :param offset: Byte of the text at which to begin.
    :param key: Key of the object if it is not the name. The suffix ``.gz`` or ``.zst`` announces compression.
    :param encoding: Returns the content encoding in the store's metadata. Called only if the first bytes are not
        enough.
    :raises EOFError: The object is empty, but its key announces compression.
    :raises SourceError: The object is compressed without an announcement, compressed twice, or shorter than ``offset``.
    """
    suffix = compression_suffix(key or name)
    if not suffix and isinstance(raw, io.FileIO):  # The kernel reads ahead, so that a buffer would only cost a copy.
        refuse_compressed(os.pread(raw.fileno(), 4, 0), name)
        raw.seek(offset)
        file = open_source_file(raw, name, os.fstat(raw.fileno()).st_size)
        return Text(raw, file, is_whole_file=file is not None)
    buffered: io.BufferedReader = io.BufferedReader(raw, BUFFER_BYTES)
    if offset and not suffix and not encoding():
        buffered.seek(offset)  # The first attempt checked the first bytes. Checking again would fetch a block in vain.
        return Text(buffered)
    stream = _decompressed_stream(buffered, name, suffix, encoding)
    while offset > 0:
        piece = stream.read(min(offset, BUFFER_BYTES))
        if not piece:
            raise SourceError(f"{name} is shorter than it was when the last attempt read it.", uri=name)
        offset -= len(piece)
    return Text(stream)


def _decompressed_stream(buffered: io.BufferedReader, name: str, suffix: str, encoding: Callable[[], str]) -> Readable:
    """Remove all layers of compression that the name and the metadata of an object announce."""
    head = buffered.peek(4)
    if suffix and not head:
        raise EOFError
    stream: Any = buffered
    detected = detect_suffix(head)
    announced = encoding_suffix(encoding()) if detected != suffix else ""
    if announced and detected == announced:
        stream = _OPENERS[detected](stream, name)
        detected = detect_suffix(stream.peek(4))
    if suffix and (detected or not announced):
        stream = _OPENERS[suffix](stream, name)
        detected = detect_suffix(stream.peek(4))
        if detected and encoding_suffix(encoding()) == detected:
            stream = _OPENERS[detected](stream, name)
            detected = detect_suffix(stream.peek(4))
        refuse_compressed_twice(stream.peek(4)[:4], name)
    if not suffix:
        refuse_compressed(stream.peek(4), name)
    return cast(Readable, stream)


def compression_suffix(key: str) -> str:
    """Return the suffix of a key that announces compression, or an empty string."""
    return next((suffix for suffix in _OPENERS if key.endswith(suffix)), "")


def detect_suffix(head: bytes) -> str:
    """Return the suffix for the format of compressed data, or an empty string if it is not compressed.

    :param head: First bytes of the data.
    """
    return next((suffix for magic, (_, suffix) in _MAGIC.items() if head.startswith(magic)), "")


def encoding_suffix(encoding: str) -> str:
    """Return the suffix for the format that an HTTP content encoding announces, or an empty string."""
    names = [name.strip().lower() for name in encoding.split(",")]
    return next((_ENCODINGS[name] for name in reversed(names) if name in _ENCODINGS), "")


def open_source_file(raw: Any, name: str, size: int) -> SourceFile | None:
    """Return a file from which batches can be sent directly, or ``None`` if it is not a local file or too small.

    :param raw: The object as a binary file.
    :param name: Name of the object, for errors.
    :param size: Number of its bytes that are read.
    """
    return SourceFile(raw.fileno(), name) if isinstance(raw, io.FileIO) and size >= MIN_OPEN_FILE_BYTES else None


def is_compressed(key: str, encoding: str = "") -> bool:
    """Return whether the key or the content encoding of an object announces compression."""
    return bool(compression_suffix(key) or encoding_suffix(encoding))


def refuse_compressed(head: bytes, name: str) -> None:
    """Raise if an object is compressed although its name does not say so.

    :param head: First bytes of the object.
    :raises SourceError: They are those of a compressed object.
    """
    for magic, (compression, suffix) in _MAGIC.items():
        if head.startswith(magic):
            raise SourceError(
                f"{name} is compressed with {compression}, but its name does not end in {suffix}. Rename it or "
                "decompress it.",
                uri=name,
            )


def refuse_compressed_twice(head: bytes, name: str) -> None:
    """Raise if the text of an object is compressed data.

    :param head: First bytes of the text.
    :raises SourceError: They are those of compressed data.
    """
    for magic, (compression, _) in _MAGIC.items():
        if head.startswith(magic):
            raise SourceError(
                f"{name} is compressed twice: its decompressed data is compressed with {compression} again. Decompress "
                "it once, and load the result.",
                uri=name,
            )


def decompressed_beginning(head: bytes, name: str, max_bytes: int, *, encoding: str = "") -> tuple[bytes, int]:
    """Return the text at the beginning of an object, as far as its first bytes contain it.

    :param head: First bytes of the object, as stored.
    :param name: Key of the object.
    :param max_bytes: Number of bytes of text after which to stop.
    :param encoding: Content encoding in the store's metadata.
    :return: The text, and how many bytes of ``head`` it took.
    :raises OSError: Nothing can be decompressed. The libraries also raise their own errors.
    """
    suffix, announced = compression_suffix(name), encoding_suffix(encoding)
    detected = detect_suffix(head)
    if not (suffix or announced) or (announced and not detected):
        return head, len(head)
    text, used_bytes = _decompress_head(head, detected or suffix, max_bytes, name)
    if announced and suffix and detect_suffix(text) == suffix:
        text, _ = _decompress_head(text, suffix, max_bytes, name)
    refuse_compressed_twice(text[:4], name)
    return text, used_bytes


def _decompress_head(head: bytes, suffix: str, max_bytes: int, name: str) -> tuple[bytes, int]:
    raw = io.BytesIO(head)
    text, used_bytes = bytearray(), 0
    try:
        for piece in _gunzip(raw) if suffix == ".gz" else unpack(raw, name):
            text += piece
            used_bytes = raw.tell()
            if len(text) >= max_bytes:
                break
    except EOFError:
        pass  # The end is always missing, because these are the first bytes only.
    except zlib.error as error:
        if not text:  # Damage after some text is reported by the load itself.
            raise gzip.BadGzipFile(str(error)) from error
    return bytes(text), used_bytes


def _gunzip(raw: Readable) -> Iterator[bytes]:
    """Yield the text of gzip data in small steps."""
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    while piece := raw.read(_STEP_BYTES):
        while piece:
            member = zlib.decompressobj(zlib.MAX_WBITS | 16) if member.eof else member
            if text := member.decompress(piece):
                yield text
            piece = member.unused_data


@contextmanager
def raise_source_errors(name: str) -> Iterator[None]:
    """Turn errors of reading and decompressing an object into a ``SourceError`` that names it.

    :param name: Name of the object.
    :raises SourceError: The object is truncated, damaged or missing, or reading it is not permitted.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise SourceError(
            f"There is no object {name}. It was deleted after the task found it: write it again.", uri=name
        ) from error
    except PermissionError as error:
        raise SourceError(
            f"{name} cannot be read: permission denied. Check the storage connection and its permissions.", uri=name
        ) from error
    except EOFError as error:
        raise SourceError(
            f"{name} is truncated: its compressed data has no end, so it was not completely written or copied. "
            "Write it again.",
            uri=name,
        ) from error
    except (gzip.BadGzipFile, IsalError, BadZstdError) as error:  # type: ignore[misc]
        raise SourceError(f"{name} is damaged, or not compressed as its name says: {error}.", uri=name) from error
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error_reason(error)}.", uri=name) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("zstandard", "zstd"):
            raise SourceError(
                f"{name} is damaged, or not compressed as its name says: {error_reason(error)}.", uri=name
            ) from error
        raise


def error_reason(error: Exception) -> str:
    """Return the text of an error without its full stop, to be used within a sentence."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.rstrip(".")


_OPENERS: dict[str, Callable[[io.BufferedReader, str], Any]] = {
    # Without an explicit mode, the library would take the mode of a GzipFile below it, which is a number, for text.
    ".gz": lambda raw, name: igzip.IGzipFile(fileobj=raw, mode="rb"),  # type: ignore[no-untyped-call]
    ".zst": lambda raw, name: io.BufferedReader(ZstdStream(raw, name), BUFFER_BYTES),
}
