"""Load parts of Parquet objects: they resume in the part, and their progress counts the rows of the part."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ServerError
from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.load.progress import Progress
from airflow_provider_vectorize.rows.row_readers import choose_reader
from airflow_provider_vectorize.sources.fields import DEFAULT_FIELDS
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.parts import Part, PartName
from tests.support import DIMENSIONS, FileObject, MemoryStore, expected_dump

from .conftest import BooksIndex
from .test_parquet import vectors, write_parquet


class PartObject(FileObject):
    """A part of a Parquet file that begins with one of its row groups."""

    def __init__(self, path: Path, first_group: int) -> None:
        super().__init__(path)
        column = pq.ParquetFile(path).metadata.row_group(first_group).column(0)
        start = min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset)
        part = Part(start, path.stat().st_size)
        self.uri = PartName(self.uri, part)
        self.size = part.end - part.start


def interrupt(books: BooksIndex, source: FileObject, after: int, **how: Any) -> None:
    """Let a load fail after so many requests."""
    books.local.fail("http_500", operation="upsert", after=after, times=None)
    with pytest.raises(ServerError):
        books.load(source, **how)
    books.local.clear_faults()
    books.local.clear_requests()


def test_load_retry_of_a_part_of_parquet_resumes_in_the_part(
    books: BooksIndex, caplog: pytest.LogCaptureFixture
) -> None:
    rows = vectors(100)
    path = books.folder / "a.parquet"
    write_parquet(books, rows)
    part = PartObject(path, 2)  # rows 33 to 100
    how: dict[str, Any] = {
        "store": MemoryStore(),
        "max_in_flight": 1,
        "identity": {"number of clears": "0"},
        "client": {"retry": RetryPolicy(total=0.0), "limits": Limits(late_seconds=0)},
    }
    interrupt(books, part, 3, **how)
    progress: list[Progress] = []
    with caplog.at_level(logging.INFO):
        receipt = books.load(part, observer=progress.append, **how)
    assert "Resuming from the last checkpoint at row 63 of" in caplog.text
    assert "(row group 3)" in caplog.text
    assert sum(request.vectors for request in books.write_requests()) == 38
    assert receipt.vectors == 68
    assert books.dump() == expected_dump(rows[32:])
    assert progress[-1].share_before == pytest.approx(30 / 68, abs=0.001)
    assert progress[-1].share == 1.0


def test_progress_of_parquet_counts_the_rows_of_each_object_and_part(books: BooksIndex) -> None:
    write_parquet(books, vectors(96))
    part = PartObject(books.folder / "a.parquet", 2)
    whole = write_parquet(books, vectors(64), name="b.parquet")
    reader = choose_reader("parquet", DEFAULT_FIELDS, DIMENSIONS, Limits(), "full", "auto")
    source = LoadSource([part, whole], reader)
    part_share = part.size / (part.size + whole.size)
    shares = [source.share_before(Position(0, line, 0)) for line in (1, 33, 65, 97)]
    assert shares == pytest.approx([0, 0, part_share / 2, part_share], abs=0.001)
    assert source.share_before(Position(1, 33, 1)) == pytest.approx(part_share + (1 - part_share) / 2, abs=0.001)
    (books.folder / "b.parquet").write_bytes(b"PAR1")
    unread = choose_reader("parquet", DEFAULT_FIELDS, DIMENSIONS, Limits(), "full", "auto")
    assert unread.stored_bytes_before(whole, Position(0, 33, 1)) == 0, "the load itself reports the damage"
