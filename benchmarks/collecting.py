"""Measure what ``collect_checks`` costs: ``python -m benchmarks.collecting`` reads and checks rows with and without."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson

from airflow_provider_vectorize.api.limits import LIMITS
from airflow_provider_vectorize.api.models import Index, IndexConfig
from airflow_provider_vectorize.load.collector import Collector, read_collected_rows
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.reader import read_rows
from airflow_provider_vectorize.rows.row_readers import choose_reader
from airflow_provider_vectorize.sources.fields import DEFAULT_FIELDS
from tests.support import FileObject

ROWS, DIMENSIONS = 60_000, 768
INDEX = Index(name="books", config=IndexConfig(dimensions=DIMENSIONS, metric="cosine"))


def write_rows(path: Path) -> None:
    """Write rows as Python writes them, with the text of float64 values."""
    rng = np.random.default_rng(1)
    with path.open("wb") as file:
        for first in range(0, ROWS, 1_000):
            values = rng.standard_normal((1_000, DIMENSIONS))
            options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
            file.writelines(
                orjson.dumps({"id": f"page-{first + n}", "values": row}, option=options) for n, row in enumerate(values)
            )


def read(path: Path, collector: Collector | None) -> None:
    """Read and check all rows, as the reader of a load does."""
    reader = choose_reader("ndjson", DEFAULT_FIELDS, DIMENSIONS, LIMITS, "full", "auto")
    source, processed = [FileObject(path)], ProcessedRanges()
    rows = (
        read_collected_rows(source, reader, processed, collector) if collector else read_rows(source, reader, processed)
    )
    for _ in rows:
        pass
    if collector:
        collector.finish("books", "upsert", None)


def seconds(action: Callable[[], None]) -> float:
    """Return the shortest CPU time of three, because other programs may use the machine."""
    durations = []
    for _ in range(3):
        start = time.process_time()
        action()
        durations.append(time.process_time() - start)
    return min(durations)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.ndjson"
        write_rows(path)

        def collect() -> None:
            collector = Collector()
            collector.start(INDEX)
            read(path, collector)

        plain, collecting = seconds(lambda: read(path, None)), seconds(collect)
    scale = 1e6 / ROWS
    print(
        f"CPU seconds for each million rows of {DIMENSIONS} dimensions: read and check {plain * scale:.1f}, with "
        f"collect_checks {collecting * scale:.1f}, so collecting takes {(collecting - plain) * scale:.1f}."
    )


if __name__ == "__main__":
    main()
