"""Compressed objects as streams of text, which notice when their end is missing."""

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

#: Bytes of one read of what is below.
BUFFER_BYTES = 1 << 20
#: Smaller files are copied: a batch that is sent from hundreds of them would need as many open at a time.
MIN_OPEN_FILE_BYTES = 4 << 20
#: Bytes of gzip data that a survey unpacks at a time: a thousand times as much text may come of them.
_STEP_BYTES = 1 << 10
#: What a compressed object begins with, and no line of JSON does.
_MAGIC = {b"\x1f\x8b": ("gzip", ".gz"), b"\x28\xb5\x2f\xfd": ("zstd", ".zst")}
#: Content encodings that store such data.
_ENCODINGS = {"gzip": ".gz", "x-gzip": ".gz", "zstd": ".zst"}


def open_text(raw: Any, name: str, offset: int, *, key: str = "", encoding: Callable[[], str] = str) -> Text:
    """Return the text of an object, from a byte of it on.

    The first bytes decide what is unpacked. The key says what to expect, and the store's metadata may announce one
    more layer, which may have been taken off on the way, with or without the one that the key names.

    :param raw: the object as a binary file, at its beginning.
    :param name: its name, for errors.
    :param key: its key, if the name is not the key: ``.gz``, ``.zst``, or not compressed.
    :param encoding: asks for the content encoding in the store's metadata; called where the first bytes do not tell.
    :raises SourceError: it is empty where it should be compressed, or compressed and not called so, or too short.
    """
    suffix = suffix_of(key or name)
    if not suffix and isinstance(raw, io.FileIO):  # the kernel reads ahead: a buffer would be one more copy
        refuse_compressed(os.pread(raw.fileno(), 4, 0), name)
        raw.seek(offset)
        return Text(raw, open_source_file(raw, name, os.fstat(raw.fileno()).st_size))
    buffered: io.BufferedReader = io.BufferedReader(raw, BUFFER_BYTES)
    if offset and not suffix and not encoding():
        buffered.seek(offset)  # the first attempt has looked, and to look again would fetch a block for nothing
        return Text(buffered)
    stream = _unpacked(buffered, name, suffix, encoding)
    while offset > 0:
        piece = stream.read(min(offset, BUFFER_BYTES))
        if not piece:
            raise SourceError(f"{name} is shorter than it was when the last attempt read it.", uri=name)
        offset -= len(piece)
    return Text(stream)


def _unpacked(buffered: io.BufferedReader, name: str, suffix: str, encoding: Callable[[], str]) -> Readable:
    """The text of a whole object, with all layers taken off that its name and its metadata announce."""
    head = buffered.peek(4)
    if suffix and not head:
        raise EOFError
    stream: Any = buffered
    kind = kind_of(head)
    announced = encoding_suffix(encoding()) if kind != suffix else ""
    if announced and kind == announced:
        stream = _OPENERS[kind](stream, name)
        kind = kind_of(stream.peek(4))
    if suffix and (kind or not announced):
        stream = _OPENERS[suffix](stream, name)
        kind = kind_of(stream.peek(4))
        if kind and encoding_suffix(encoding()) == kind:
            stream = _OPENERS[kind](stream, name)
            kind = kind_of(stream.peek(4))
        refuse_compressed_twice(stream.peek(4)[:4], name)
    if not suffix:
        refuse_compressed(stream.peek(4), name)
    return cast(Readable, stream)


def suffix_of(key: str) -> str:
    """Return the end of a key that says how the object is compressed, or nothing."""
    return next((suffix for suffix in _OPENERS if key.endswith(suffix)), "")


def kind_of(head: bytes) -> str:
    """Return how data is compressed that begins like this, as the suffix of such a file, or nothing."""
    return next((suffix for magic, (_, suffix) in _MAGIC.items() if head.startswith(magic)), "")


def encoding_suffix(encoding: str) -> str:
    """Return what a content encoding of HTTP does, as the suffix of such a file, or nothing."""
    named = [one.strip().lower() for one in encoding.split(",")]
    return next((_ENCODINGS[one] for one in reversed(named) if one in _ENCODINGS), "")


def open_source_file(raw: Any, name: str, size: int) -> SourceFile | None:
    """The file to send rows from as they stand, where it is a local one and large enough.

    :param size: bytes of it that are to be read.
    """
    return SourceFile(raw.fileno(), name) if isinstance(raw, io.FileIO) and size >= MIN_OPEN_FILE_BYTES else None


def is_compressed(key: str, encoding: str = "") -> bool:
    """Whether an object of that key, with that content encoding, is."""
    return bool(suffix_of(key) or encoding_suffix(encoding))


def refuse_compressed(begin: bytes, name: str) -> None:
    """Let nothing pass that is compressed and not called so.

    :param begin: the object's first bytes.
    """
    for magic, (what, suffix) in _MAGIC.items():
        if begin.startswith(magic):
            raise SourceError(
                f"{name} is compressed with {what}, but its name does not end in {suffix}: rename or unpack it.",
                uri=name,
            )


def refuse_compressed_twice(begin: bytes, name: str) -> None:
    """Let no object pass whose text is compressed data.

    :param begin: the text's first bytes.
    """
    for magic, (what, _) in _MAGIC.items():
        if begin.startswith(magic):
            raise SourceError(
                f"{name} is compressed twice: what it unpacks to is compressed with {what} again. Unpack it once, and "
                "load the result.",
                uri=name,
            )


def decompressed_beginning(head: bytes, name: str, most: int, *, encoding: str = "") -> tuple[bytes, int]:
    """The text at the beginning of an object, as far as its first bytes tell.

    :param head: its first bytes, as stored.
    :param name: its key.
    :param most: bytes of text, after which no more is unpacked.
    :param encoding: the content encoding in the store's metadata.
    :return: the text, and how many bytes of ``head`` it took.
    :raises OSError: nothing can be unpacked; so do the errors of the libraries.
    """
    suffix, announced = suffix_of(name), encoding_suffix(encoding)
    kind = kind_of(head)
    if not (suffix or announced) or (announced and not kind):
        return head, len(head)
    text, taken = _unpack(head, kind or suffix, most, name)
    if announced and suffix and kind_of(text) == suffix:
        text, _ = _unpack(text, suffix, most, name)
    refuse_compressed_twice(text[:4], name)
    return text, taken


def _unpack(head: bytes, kind: str, most: int, name: str) -> tuple[bytes, int]:
    raw = io.BytesIO(head)
    text, taken = bytearray(), 0
    try:
        for piece in _gunzip(raw) if kind == ".gz" else unpack(raw, name):
            text += piece
            taken = raw.tell()
            if len(text) >= most:
                break
    except EOFError:
        pass  # these are its first bytes only
    except zlib.error as error:
        if not text:  # what follows the text is the load's to judge
            raise gzip.BadGzipFile(str(error)) from error
    return bytes(text), taken


def _gunzip(raw: Readable) -> Iterator[bytes]:
    """Yield the text of gzip data, of a few bytes at a time."""
    frame = zlib.decompressobj(zlib.MAX_WBITS | 16)
    while piece := raw.read(_STEP_BYTES):
        while piece:
            frame = zlib.decompressobj(zlib.MAX_WBITS | 16) if frame.eof else frame
            if text := frame.decompress(piece):
                yield text
            piece = frame.unused_data


@contextmanager
def raise_source_errors(name: str) -> Iterator[None]:
    """Turn what reading raises into one sentence that names the object.

    :raises SourceError: it is cut off, damaged, gone, or may not be read.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise SourceError(f"There is no object {name}.", uri=name) from error
    except PermissionError as error:
        raise SourceError(
            f"{name} may not be read: check the storage's connection and its permissions.", uri=name
        ) from error
    except EOFError as error:
        raise SourceError(
            f"{name} is cut off: its compressed data has no end, so it was not written or copied whole. "
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
    """What an error says, without a full stop."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.rstrip(".")


_OPENERS: dict[str, Callable[[io.BufferedReader, str], Any]] = {
    # With its mode: that of a gzip file below is a number, which the library takes for text.
    ".gz": lambda raw, name: igzip.IGzipFile(fileobj=raw, mode="rb"),  # type: ignore[no-untyped-call]
    ".zst": lambda raw, name: io.BufferedReader(ZstdStream(raw, name), BUFFER_BYTES),
}
