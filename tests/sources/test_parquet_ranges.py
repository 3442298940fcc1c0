"""Row groups of Parquet objects by ranges of bytes, as parts of objects have them."""

from __future__ import annotations

import io
from itertools import accumulate, pairwise

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_vectorize.sources.parquet import ParquetReader, RowGroupRange


def write(row_groups: list[int]) -> bytes:
    """Return an object with row groups of these sizes, whose rows are numbered."""
    table = pa.table({"n": range(sum(row_groups)), "text": ["x" * 50] * sum(row_groups)})
    file = io.BytesIO()
    with pq.ParquetWriter(file, table.schema) as writer:
        for start, end in pairwise(accumulate(row_groups, initial=0)):
            writer.write_table(table.slice(start, end - start), row_group_size=max(1, end - start))
    return file.getvalue()


def read(reader: ParquetReader, groups: RowGroupRange, start: int = 0, batch_rows: int = 3) -> list[int]:
    numbers: list[int] = []
    for decoded in reader.read(["n"], start, groups, batch_rows):
        batch = decoded.batch.column("n").to_pylist()
        assert batch == list(range(decoded.first, decoded.first + len(batch)))
        assert reader.row_group_starts[decoded.row_group] <= batch[0] < reader.row_group_starts[decoded.row_group + 1]
        numbers += batch
    return numbers


@given(st.lists(st.integers(0, 9), max_size=8), st.lists(st.floats(0, 1), max_size=5), st.integers(0, 40))
@settings(deadline=None)
def test_adjacent_ranges_have_every_row_once_and_resume_anywhere(
    row_groups: list[int], cuts: list[float], start: int
) -> None:
    content = write(row_groups)
    reader = ParquetReader(io.BytesIO(content), "s3://b/a.parquet")
    edges = [0, *sorted(int(cut * len(content)) for cut in cuts), len(content)]
    parts = [reader.row_groups_in(first, last) for first, last in pairwise(edges)]

    assert [number for part in parts for number in read(reader, part)] == list(range(sum(row_groups)))
    resumed = [number for part in parts for number in read(reader, part, start)]
    assert resumed == list(range(start, sum(row_groups)))
    assert [group for part in parts for group in range(*part)] == list(range(len(row_groups)))


def test_range_without_a_first_byte_of_a_row_group_is_empty() -> None:
    reader = ParquetReader(io.BytesIO(write([5, 5])), "s3://b/a.parquet")
    first, second = reader.row_group_offsets()
    assert reader.row_groups_in(first + 1, second) == (1, 1)
    assert reader.row_groups_in(first, second) == (0, 1)
    assert reader.row_groups_in(second, second + 1) == (1, 2)
    assert read(reader, reader.row_groups_in(first + 1, second)) == []
