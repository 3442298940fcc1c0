"""Parts of an object: their names, where they are cut, and what is noticed when the object is another one."""

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


def read(content: bytes, part: Part, offset: int = 0, size: int = 1 << 20) -> bytes:
    stream = PartStream(io.BytesIO(content), "file:///a.ndjson", part, offset)
    return b"".join(iter(lambda: stream.read(size), b""))


def test_a_name_with_bytes_at_its_end_is_a_part_of_what_stands_before() -> None:
    assert parts.split_part_name("s3://b/a.ndjson#bytes=10-25") == ("s3://b/a.ndjson", Part(10, 25))


def test_the_text_of_a_part_knows_its_object_also_after_a_pickle() -> None:
    text = pickle.loads(pickle.dumps(parts.PartName("s3://b/a.ndjson", Part(10, 25))))
    assert text == "s3://b/a.ndjson#bytes=10-25"
    assert parts.object_name(text) == "s3://b/a.ndjson"
    assert parts.object_offset(text, 3) == 13


@pytest.mark.parametrize("name", ["a.ndjson", "a#b.ndjson", "a#bytes=1", "a#bytes=-5-1", "a#bytes=1-2.ndjson", "a#1-2"])
def test_any_other_name_is_a_whole_object(name: str) -> None:
    assert parts.split_part_name(name) == (name, None)
    assert parts.object_name(name) == name
    assert parts.object_offset(name, 3) == 3


@pytest.mark.parametrize(
    "name", ["a.ndjson#bytes=5-5", "a.ndjson#bytes=5-4", "a.ndjson.gz#bytes=0-5", "a.zst#bytes=0-5"]
)
def test_a_part_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no part"):
        parts.split_part_name(name)


@given(st.data(), st.lists(st.binary(max_size=12), min_size=1, max_size=12), st.integers(1, 7))
def test_the_parts_of_any_text_are_that_text_and_each_begins_with_a_line(
    data: st.DataObject, lines: list[bytes], size: int
) -> None:
    text = b"\n".join(lines)
    near = sorted(data.draw(st.lists(st.integers(1, max(1, len(text))), max_size=4)))
    ends = [parts.next_line_start(lambda start, end: text[start:end], at, len(text)) for at in near]
    cuts = sorted({0, *ends, len(text)})
    assert all(not at or at == len(text) or text[at - 1 : at] == b"\n" for at in cuts)
    assert all(end >= at or end == len(text) for at, end in zip(near, ends, strict=True))
    if not text.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        assert b"".join(read(text, Part(a, b), size=size) for a, b in pairwise(cuts)) == text


def test_a_line_is_found_through_many_small_reads() -> None:
    text = b"x" * (3 * parts.SEARCH_BYTES) + b"\nrest\n"
    asked: list[int] = []

    def piece(start: int, end: int) -> bytes:
        asked.append(end - start)
        return text[start:end]

    assert parts.next_line_start(piece, 10, len(text)) == len(text) - 5
    assert max(asked) <= parts.SEARCH_BYTES


def test_what_has_no_lines_is_not_searched_to_its_end() -> None:
    with pytest.raises(SourceError, match="no ndjson"):
        parts.next_line_start(lambda start, end: b"x" * (end - start), 10, 1 << 40)


def test_reading_goes_on_at_a_line_of_the_part() -> None:
    assert read(TEXT, Part(4, 14)) == b"two\nthree\n"
    assert read(TEXT, Part(4, 14), 4) == b"three\n"
    assert read(TEXT, Part(4, 14), 10) == b""
    assert read(TEXT, Part(14, 18), 4) == b"", "the last line of an object may lack its end"


MARKED = BOM + b"one\n" + BOM + b"two\nthree\n"


@pytest.mark.parametrize(
    ("part", "offset", "rest"),
    [
        (Part(0, 14), 0, MARKED[:14]),
        (Part(0, 14), 3, MARKED[3:14]),
        (Part(0, 14), 7, MARKED[7:14]),
        (Part(7, 20), 3, MARKED[10:]),
        (Part(7, 20), 7, b"three\n"),
        (Part(0, 3), 3, b""),
    ],
)
def test_reading_goes_on_behind_the_byte_order_mark_of_a_part(part: Part, offset: int, rest: bytes) -> None:
    """There the first row begins, so there a batch that stands before it ends."""
    assert read(MARKED, part, offset) == rest


@pytest.mark.parametrize(
    ("content", "part", "offset"),
    [(b"one two\n", Part(0, 8), 3), (MARKED, Part(0, 14), 10), (b"x" + BOM + b"one\n", Part(1, 8), 3)],
)
def test_reading_goes_on_nowhere_else(content: bytes, part: Part, offset: int) -> None:
    with pytest.raises(SourceError, match="no line begins at byte"):
        read(content, part, offset)


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (Part(5, 14), "no line begins at byte 5"),
        (Part(4, 13), "no line ends there"),
        (Part(14, 30), "it is shorter"),
        (Part(40, 50), "no line begins at byte 40"),
    ],
)
def test_an_object_that_changed_since_it_was_cut_gives_no_half_row(part: Part, what: str) -> None:
    given_out: list[bytes] = []
    with pytest.raises(SourceError, match=f"{what}, so it changed since the load was planned"):
        given_out.extend(whole_lines(TEXT, part))
    assert given_out in ([], [b"two\n"])


def whole_lines(content: bytes, part: Part) -> Iterator[bytes]:
    stream = PartStream(io.BytesIO(content), "file:///a.ndjson", part, 0)
    for block in read_blocks(stream, Position(), size=4, longest=100):
        yield block.data


def test_an_object_that_is_compressed_and_not_called_so_is_refused() -> None:
    with pytest.raises(SourceError, match="compressed with gzip"):
        read(b"\x1f\x8b" + bytes(100), Part(0, 50))
