"""A local file is split at line ends, whatever its lines are."""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_vectorize.sources import line_ranges as module
from airflow_provider_vectorize.sources.line_ranges import RangeStream, line_ranges
from airflow_provider_vectorize.sources.source_file import SourceFile

LINES = st.lists(st.integers(0, 90).map(lambda size: b"x" * size), max_size=60)


@given(LINES, st.booleans(), st.integers(1, 80), st.integers(1, 40))
def test_line_ranges_of_any_file_hold_whole_lines(lines: list[bytes], ends: bool, size: int, search: int) -> None:
    text = b"\n".join(lines) + b"\n" * ends
    old, module._SEARCH_BYTES = module._SEARCH_BYTES, search
    try:
        with tempfile.TemporaryFile() as stream:
            stream.write(text)
            stream.flush()
            file = SourceFile(stream.fileno(), "file:///a")
            start = text.find(b"\n") + 1
            ranges = list(line_ranges(file, start, size=size))
            assert b"".join(file.read(first, last) for first, last in ranges) == text[start:]
            for first, last in ranges:
                stream_bytes = RangeStream(file, first, last)
                assert b"".join(iter(lambda: stream_bytes.read(7), b"")) == text[first:last]  # noqa: B023
    finally:
        module._SEARCH_BYTES = old
    assert all(one[1] == other[0] for one, other in pairwise(ranges))
    for first, last in ranges:
        assert last == len(text) or text[last - 1 : last] == b"\n"
        # A range that is too long is one line.
        assert last - first <= size or b"\n" not in text[first : last - 1]


def test_line_ranges_search_little_of_a_file() -> None:
    with tempfile.TemporaryFile() as stream:
        stream.write((b"x" * 9_999 + b"\n") * 400)
        stream.flush()
        read: list[int] = []

        class Noting(SourceFile):
            def read(self, start: int, end: int) -> bytes:
                read.append(end - start)
                return super().read(start, end)

        assert len(list(line_ranges(Noting(stream.fileno(), "file:///a"), 0))) == 8
        assert sum(read) < os.fstat(stream.fileno()).st_size / 10
