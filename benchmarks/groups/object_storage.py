"""Measure reading and loading from S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cases import OFF, Case, Files, Group, Result, Target, at_most

from tests.storage.servers import BUCKET, s3rver

TEXT = "The S3 server is s3rver, a Node program on the same cores.\n\n"


def groups(files: Files) -> Iterator[Group]:
    file, small_file = files.ndjson(768, 1_000), files.ndjson(768, 100)
    with s3rver() as (connection, client):

        def case(label: str, contestant: str, path: str = file, **options: Any) -> Case:
            """Return a case that reads a file from S3."""
            environment = {"AIRFLOW_CONN_BENCH_S3": connection}
            options |= {"source_conn_id": "bench_s3"}
            uri = f"s3://{BUCKET}/{Path(path).name}"
            return Case(label, contestant, path, options, uri=uri, environment=environment)

        cases = [
            case("Amazon's client, reading alone", "s3_client"),
            case("reading and checking alone", "reader"),
            case("validation off", "ours", **OFF),
            case("defaults", "ours"),
            case("defaults, 100 MB", "ours", small_file),
            Case("defaults, local file", "ours", file),
        ]
        for path in (Path(file), Path(small_file)):
            for upload in (path, path.with_name(f"one-row-{path.name}")):
                client.upload_file(str(upload), BUCKET, upload.name)
        yield Group("S3: 1 GB, 768 dimensions", cases, _targets, TEXT)


def _targets(results: dict[str, Result]) -> list[Target]:
    peak = max(results[label].over_mb for label in ("defaults", "defaults, 100 MB"))
    return [at_most("memory, S3", 96, peak, " MB")]
