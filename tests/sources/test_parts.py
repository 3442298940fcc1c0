"""Parts of an object: their names, where an object is split, and the errors if the object changed."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_vectorize.errors import ConfigError, SourceError
from airflow_provider_vectorize.sources import parts
from airflow_provider_vectorize.sources.lines import BOM, Position, read_blocks
from airflow_provider_vectorize.sources.parts import Part, PartStream

TEXT = b"one\ntwo\nthree\nfour"


def read_part(content: bytes, part: Part, offset: int = 0, size: int = 1 << 20) -> bytes:
    stream = PartStream(io.BytesIO(content), "file:///a.ndjson", part, offset)
    return b"".join(iter(lambda: stream.read(size), b""))


def test_split_part_name_returns_object_and_part() -> None:
    assert parts.split_part_name("s3://b/a.ndjson#bytes=10-25") == ("s3://b/a.ndjson", Part(10, 25))


def test_part_name_keeps_its_object_when_pickled() -> None:
    name = pickle.loads(pickle.dumps(parts.PartName("s3://b/a.ndjson", Part(10, 25))))
    assert name == "s3://b/a.ndjson#bytes=10-25"
    assert parts.object_name(name) == "s3://b/a.ndjson"
    assert parts.object_offset(name, 3) == 13


@pytest.mark.parametrize("name", ["a.ndjson", "a#b.ndjson", "a#bytes=1", "a#bytes=-5-1", "a#bytes=1-2.ndjson", "a#1-2"])
def test_split_part_name_without_part_returns_the_name(name: str) -> None:
    assert parts.split_part_name(name) == (name, None)
    assert parts.object_name(name) == name
    assert parts.object_offset(name, 3) == 3


@pytest.mark.parametrize(
    "name", ["a.ndjson#bytes=5-5", "a.ndjson#bytes=5-4", "a.ndjson.gz#bytes=0-5", "a.zst#bytes=0-5"]
)
def test_split_part_name_with_invalid_part_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a part of a"):
        parts.split_part_name(name)


@given(st.data(), st.lists(st.binary(max_size=12), min_size=1, max_size=12), st.integers(1, 7))
def test_parts_of_any_text_are_whole_lines_and_cover_it(data: st.DataObject, lines: list[bytes], size: int) -> None:
    text = b"\n".join(lines)
    targets = sorted(data.draw(st.lists(st.integers(1, max(1, len(text))), max_size=4)))
    ends = [parts.next_line_start(lambda start, end: text[start:end], at, len(text)) for at in targets]
    cuts = sorted({0, *ends, len(text)})
    assert all(not at or at == len(text) or text[at - 1 : at] == b"\n" for at in cuts)
    assert all(end >= at or end == len(text) for at, end in zip(targets, ends, strict=True))
    if not text.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        assert b"".join(read_part(text, Part(a, b), size=size) for a, b in pairwise(cuts)) == text


def test_next_line_start_after_a_long_line_uses_small_reads() -> None:
    text = b"x" * (3 * parts.SEARCH_BYTES) + b"\nrest\n"
    sizes: list[int] = []

    def read_range(start: int, end: int) -> bytes:
        sizes.append(end - start)
        return text[start:end]

    assert parts.next_line_start(read_range, 10, len(text)) == len(text) - 5
    assert max(sizes) <= parts.SEARCH_BYTES


def test_next_line_start_without_lines_stops_and_raises() -> None:
    with pytest.raises(SourceError, match="not ndjson"):
        parts.next_line_start(lambda start, end: b"x" * (end - start), 10, 1 << 40)


def test_part_stream_resumes_at_a_line() -> None:
    assert read_part(TEXT, Part(4, 14)) == b"two\nthree\n"
    assert read_part(TEXT, Part(4, 14), 4) == b"three\n"
    assert read_part(TEXT, Part(4, 14), 10) == b""
    assert read_part(TEXT, Part(14, 18), 4) == b"", "the last line of an object needs no newline"


WITH_BOMS = BOM + b"one\n" + BOM + b"two\nthree\n"


@pytest.mark.parametrize(
    ("part", "offset", "rest"),
    [
        (Part(0, 14), 0, WITH_BOMS[:14]),
        (Part(0, 14), 3, WITH_BOMS[3:14]),
        (Part(0, 14), 7, WITH_BOMS[7:14]),
        (Part(7, 20), 3, WITH_BOMS[10:]),
        (Part(7, 20), 7, b"three\n"),
        (Part(0, 3), 3, b""),
    ],
)
def test_part_stream_resumes_after_the_byte_order_mark_of_a_part(part: Part, offset: int, rest: bytes) -> None:
    """The first row begins after the mark, so the batch before it ends there."""
    assert read_part(WITH_BOMS, part, offset) == rest


@pytest.mark.parametrize(
    ("content", "part", "offset"),
    [(b"one two\n", Part(0, 8), 3), (WITH_BOMS, Part(0, 14), 10), (b"x" + BOM + b"one\n", Part(1, 8), 3)],
)
def test_part_stream_inside_a_line_is_refused(content: bytes, part: Part, offset: int) -> None:
    with pytest.raises(SourceError, match="no line begins at byte"):
        read_part(content, part, offset)


@pytest.mark.parametrize(
    ("part", "difference"),
    [
        (Part(5, 14), "no line begins at byte 5"),
        (Part(4, 13), "no line ends where the part ends"),
        (Part(14, 30), "the object is shorter"),
        (Part(40, 50), "no line begins at byte 40"),
    ],
)
def test_part_stream_of_a_changed_object_raises_before_half_a_row(part: Part, difference: str) -> None:
    blocks: list[bytes] = []
    with pytest.raises(SourceError, match=f"{difference}, so it changed after the load was planned"):
        blocks.extend(whole_lines(TEXT, part))
    assert blocks in ([], [b"two\n"])


def whole_lines(content: bytes, part: Part) -> Iterator[bytes]:
    stream = PartStream(io.BytesIO(content), "file:///a.ndjson", part, 0)
    for block in read_blocks(stream, Position(), size=4, longest=100):
        yield block.data


def test_part_stream_of_a_compressed_object_is_refused() -> None:
    with pytest.raises(SourceError, match="compressed with gzip"):
        read_part(b"\x1f\x8b" + bytes(100), Part(0, 50))
