"""Test zstd decompression by blocks: the library's text in small steps, and an error for truncated frames."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.sources.compression import decompressed_beginning, open_text, raise_source_errors
from airflow_provider_vectorize.sources.zstd import BadZstdError, unpack
from tests.support import FileObject, expected_dump, make_rows, ndjson, write_object

from .conftest import BooksIndex

BLOCK_BYTES = 128 << 10
TEXTS = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda byte, count: byte * count, st.sampled_from([b"\0", b"ab"]), st.integers(0, 400_000)),
    st.builds(lambda seed: b"".join(bytes([seed * n % 251]) for n in range(3_000)), st.integers(0, 250)),
)


@st.composite
def frames(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw a frame and its text."""
    text = b"".join(draw(st.lists(TEXTS, max_size=3)))
    options: dict[str, Any] = {"write_checksum": draw(st.booleans()), "write_content_size": draw(st.booleans())}
    compressor = zstandard.ZstdCompressor(draw(st.sampled_from([1, 3, 12])), **options)
    kind = draw(st.sampled_from(["whole", "flushed", "skippable"]))
    if kind == "whole":
        return compressor.compress(text), text
    if kind == "skippable":
        return b"\x53\x2a\x4d\x18" + len(text).to_bytes(4, "little") + text, b""
    writer, half = compressor.compressobj(), len(text) // 2
    first = writer.compress(text[:half]) + writer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return first + writer.compress(text[half:]) + writer.flush(), text


@settings(max_examples=150, deadline=None)
@given(st.lists(frames(), min_size=1, max_size=4), st.data())
def test_unpack_any_frames_yields_blocks_and_detects_truncation(
    parts: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    stored, text = (b"".join(part) for part in zip(*parts, strict=True))
    pieces = list(unpack(io.BytesIO(stored), "a.zst"))
    assert b"".join(pieces) == text
    assert max(map(len, pieces), default=0) <= BLOCK_BYTES

    cut = data.draw(st.integers(1, len(stored) - 1))
    ends = [len(b"".join(part for part, _ in parts[:count])) for count in range(1, len(parts) + 1)]
    if cut not in ends:
        with pytest.raises(EOFError):
            list(unpack(io.BytesIO(stored[:cut]), "a.zst"))


def test_unpack_reads_only_what_each_block_needs() -> None:
    """The frame holds 100 MB of text in a few bytes, after 1 MB of noise."""
    noise = bytes(byte * byte % 251 for byte in range(1 << 16)) * 16
    stored = zstandard.ZstdCompressor(1).compress(noise + bytes(100 << 20))
    raw, steps = io.BytesIO(stored), []
    at = 0
    for piece in unpack(raw, "a.zst"):
        steps.append((raw.tell() - at, len(piece)))
        at = raw.tell()
    assert sum(text for _, text in steps) == len(noise) + (100 << 20)
    assert max(text for _, text in steps) <= BLOCK_BYTES
    assert len(steps) <= 1.1 * (101 << 20) / BLOCK_BYTES


def test_unpack_many_empty_frames_reads_each_byte_once() -> None:
    class Counting(io.BytesIO):
        given = 0

        def read(self, size: int | None = -1, /) -> bytes:
            piece = super().read(size)
            self.given += len(piece)
            return piece

    raw = Counting(zstandard.ZstdCompressor().compress(b"") * 20_000 + zstandard.ZstdCompressor().compress(b"x"))
    assert b"".join(unpack(raw, "a.zst")) == b"x"
    assert raw.given == len(raw.getvalue())


def frame_with_window(log: int, text: bytes = b"x") -> bytes:
    """Return a frame as ``zstd --long=log`` writes it if it does not know the size."""
    return b"\x28\xb5\x2f\xfd\0" + bytes([(log - 10) << 3]) + (len(text) << 3 | 1).to_bytes(3, "little") + text


def test_unpack_window_of_128_mb_succeeds() -> None:
    assert list(unpack(io.BytesIO(frame_with_window(27)), "a.zst")) == [b"x"]


@pytest.mark.parametrize(("log", "megabytes"), [(28, "256"), (30, "1,024"), (31, "2,048")])
def test_load_larger_zstd_window_fails_and_names_option(books: BooksIndex, log: int, megabytes: str) -> None:
    path = books.folder / "a.ndjson.zst"
    path.write_bytes(frame_with_window(log, ndjson(make_rows(1))))
    with pytest.raises(SourceError) as caught:
        books.load(FileObject(path))
    assert str(caught.value).startswith(
        f"{path.as_uri()} was compressed with zstd --long={log}: decompressing it takes {megabytes} MB of memory, "
        "but at most 128 MB are allowed. Compress it again with --long=27 or without --long."
    )


@pytest.mark.parametrize(
    "stored",
    [
        b"no zstd at all",
        frame_with_window(41),
        zstandard.ZstdCompressor().compress(b"x") + b"and garbage",
        b"\x28\xb5\x2f\xfd\0\0" + (100 << 3 | 3 << 1 | 1).to_bytes(3, "little") + bytes(100),
    ],
    ids=["text", "window", "garbage behind", "reserved kind of block"],
)
def test_unpack_invalid_bytes_fails(stored: bytes) -> None:
    with pytest.raises((BadZstdError, zstandard.ZstdError)):
        list(unpack(io.BytesIO(stored), "a.zst"))
    with (
        pytest.raises(SourceError, match=r"a\.zst is damaged, or not compressed as its name"),
        raise_source_errors("a.zst"),
    ):
        open_text(io.BytesIO(stored), "a.zst", 0).stream.read(1 << 20)


@pytest.mark.parametrize("outer", [".gz", ".zst"])
@pytest.mark.parametrize(("inner", "called"), [(".gz", "gz"), (".zst", "zst")])
def test_load_object_compressed_twice_fails(
    books: BooksIndex, tmp_path: Path, inner: str, outer: str, called: str
) -> None:
    once = write_object(tmp_path / f"a{inner}", ndjson(make_rows(3)))
    twice = write_object(tmp_path / f"a.ndjson{outer}", once.read_bytes())
    message = f"a.ndjson{outer} is compressed twice: .*{called}"
    with pytest.raises(SourceError, match=message):
        books.load(FileObject(twice))
    with pytest.raises(SourceError, match=message):
        decompressed_beginning(twice.read_bytes(), twice.name, 1 << 20)
    assert not books.write_requests()


def test_load_zstd_many_frames_and_skippable_frames(books: BooksIndex) -> None:
    rows, path = make_rows(30), books.folder / "a.ndjson.zst"
    each = [zstandard.ZstdCompressor().compress(ndjson([row])) for row in rows]
    path.write_bytes(b"\x50\x2a\x4d\x18\x02\0\0\0hi".join(each))
    assert books.load(FileObject(path)).vectors == 30
    assert books.dump() == expected_dump(rows)
