"""Measure this provider side by side with its peers, with the same files and the same sink: ``make bench``.

The cases of a group take turns (A B C A B C), each run is a process of its own, and the medians are compared. If the
speed of the machine drifts, the seconds change but not the ratios. Each process first loads one row, which imports all
modules. The seconds exclude this, and the memory is the peak above what the process used then.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import corpus
import nights
from measure import (
    DATA,
    HERE,
    Case,
    Result,
    Target,
    at_least,
    at_most,
    minimum_requests,
    results_table,
    run_group,
    run_s3,
)
from processes import FULL, LIGHT, OFF, measure_processes

#: Fields of the files that :func:`corpus.mapped` creates.
MAPPED_FIELDS = {"id": "key", "values": "doc.embedding", "metadata": ["page", "lang"]}


def find_wrangler() -> str | None:
    """Return the path of Cloudflare's command line, if it is installed."""
    commands = sorted(HERE.parent.glob(".tools/**/node_modules/.bin/wrangler"))
    return str(commands[0]) if commands else None


class Bench:
    """The groups of benchmarks. It collects their tables and targets.

    :param scale: Factor for the sizes of all files.
    :param runs: Number of runs in the first group. Other groups have at most three.
    """

    def __init__(self, scale: float, runs: int) -> None:
        self.runs, self.fewer_runs = runs, min(3, runs)
        self.sections: list[str] = []
        self.targets: list[Target] = []
        self.sizes = {size: max(10, int(size * scale)) for size in (100, 200, 500, 1_000, 2_000)}

    def file(self, dimensions: int, size: int) -> str:
        return str(corpus.ndjson(DATA, dimensions, self.sizes[size]))

    def group(self, title: str, cases: Sequence[Case], text: str = "", **options: Any) -> dict[str, Result]:
        results = run_group(title, cases, **{"dimensions": 768, "runs": self.fewer_runs, **options})
        self.sections.append(f"## {title}\n\n{text}{results_table(results)}\n")
        return {result.case.label: result for result in results}

    def add_requests_target(self, name: str, minimum: int, result: Result) -> None:
        self.targets.append(
            Target(f"requests, {name}", f"the minimum, {minimum}", str(result.requests), result.requests == minimum)
        )

    def two_gigabytes(self) -> None:
        file, small_file = self.file(768, 2_000), self.file(768, 200)
        results = self.group(
            "2 GB, 768 dimensions, float64 text",
            [
                Case("plain socket", "plain_socket", file),
                ours("validation off", file, **OFF),
                ours("light checks", file, **LIGHT),
                Case("full checks", "ours", file, FULL, runs=self.fewer_runs),
                Case("defaults: full checks, float32 text", "ours", file, runs=self.fewer_runs),
                Case("cloudflare SDK, 5,000 per call", "sdk", file, runs=self.fewer_runs),
                ours("validation off, 200 MB", small_file, **OFF),
                Case("defaults, 200 MB", "ours", small_file, runs=self.fewer_runs),
            ],
            runs=self.runs,
        )
        socket, off, light, full, default, sdk, off_200, default_200 = results.values()
        self.targets += [
            at_least("validation off, of the plain socket's rate", 0.75, off.rate / socket.rate),
            at_least("light checks, of the plain socket's rate", 0.4, light.rate / socket.rate),
            at_least("full checks", 400, full.rate, " MB/s"),
            at_least("full checks, of the SDK's rate at 5,000 per call", 1, full.rate / sdk.rate),
            at_least("defaults", 250, default.rate, " MB/s"),
            at_most("time of 2 GB relative to 200 MB, validation off", 10.5, off.seconds / off_200.seconds),
            at_most("time of 2 GB relative to 200 MB, defaults", 10.5, default.seconds / default_200.seconds),
        ]
        self.add_requests_target("2 GB, unchanged text", minimum_requests([file]), off)
        self.add_requests_target("2 GB, float32 text", -(-rows_in(file) // 5_000), default)

    def peers(self) -> None:
        file = self.file(768, 1_000)
        results = self.group(
            "1 GB, 768 dimensions: the peers",
            [
                Case("plain socket", "plain_socket", file),
                ours("defaults", file),
                ours("full checks", file, **FULL),
                Case("cloudflare SDK, 1,000 per call", "sdk", file, {"size": 1_000}),
                Case("cloudflare SDK, 5,000 per call", "sdk", file),
                Case("documentation's example, whole file", "docs_whole", file),
                Case("documentation's example, 5,000 per call", "docs_batches", file),
                Case("a naive operator", "naive_operator", file, runs=1),
            ],
        )
        naive_operator = results["a naive operator"]
        self.targets.append(
            at_least("full checks, relative to a naive operator", 20, results["full checks"].rate / naive_operator.rate)
        )
        if command := find_wrangler():
            sample = str(corpus.first_lines(Path(self.file(768, 2_000)), 100_000))
            corpus.first_lines(Path(sample), 1)
            self.group(
                "100,000 vectors, the maximum of wrangler",
                [Case("wrangler", "wrangler", sample, {"command": command}, runs=1), ours("defaults", sample)],
            )

    def other_dimensions(self) -> None:
        for dimensions, size in ((32, 500), (1_536, 1_000)):
            file = self.file(dimensions, size)
            results = self.group(
                f"{size / 1_000:g} GB, {dimensions} dimensions",
                [
                    Case("cloudflare SDK, 5,000 per call", "sdk", file),
                    ours("full checks", file, **FULL),
                    ours("defaults", file),
                    ours("light checks", file, **LIGHT),
                    ours("validation off", file, **OFF),
                    Case("plain socket", "plain_socket", file),
                ],
                dimensions=dimensions,
            )
            sdk, full, default, _, off, _ = results.values()
            if dimensions == 32:
                self.targets.append(
                    at_least("32 dimensions, full checks, of the SDK's rate", 0.75, full.rate / sdk.rate)
                )
            self.add_requests_target(f"{dimensions} dimensions, unchanged text", minimum_requests([file]), off)
            self.add_requests_target(f"{dimensions} dimensions, float32 text", -(-rows_in(file) // 5_000), default)

    def parquet(self) -> None:
        """Compare Parquet with the same vectors as ndjson."""
        for dimensions, size in ((768, 2_000), (1_536, 1_000)):
            file = self.file(dimensions, size)
            rows, mapped = rows_in(file), str(corpus.mapped(Path(file)))
            results = self.group(
                f"Parquet and mapped ndjson, {dimensions:,} dimensions, {rows:,} vectors",
                [
                    Case("ndjson, float64 text, one process", "ours", file, {"processes": 1}, rows=rows),
                    Case("ndjson, float64 text", "ours", file, rows=rows),
                    Case("mapped ndjson, float64 text", "ours", mapped, {"fields": MAPPED_FIELDS}, rows=rows),
                    *(
                        self.parquet_case(dimensions, rows, value_type, compression, group)
                        for value_type, compression in (
                            ("float32", "snappy"),
                            ("float32", "zstd"),
                            ("float64", "snappy"),
                            ("float64", "zstd"),
                        )
                        for group in (0, 5_000)
                    ),
                ],
                dimensions=dimensions,
            )
            ndjson, _, _, *variants = results.values()
            float32 = [result for result in variants if "float32" in result.case.label]
            ratio = min(result.vectors_per_second for result in float32) / ndjson.vectors_per_second
            self.targets += [
                at_least(
                    f"Parquet of float32, {dimensions:,} dimensions, vectors per second of ndjson's in one process",
                    2,
                    ratio,
                ),
                at_most(
                    f"memory, Parquet, {dimensions:,} dimensions", 160, max(found.over_mb for found in variants), " MB"
                ),
            ]

    def parquet_case(self, dimensions: int, rows: int, value_type: str, compression: str, group: int) -> Case:
        groups = f"row groups of {group:,}" if group else "one row group"
        path = corpus.parquet(DATA, dimensions, rows, value_type=value_type, compression=compression, group=group)
        return Case(f"Parquet, {value_type}, {compression}, {groups}", "ours", str(path), rows=rows)

    def processes(self) -> None:
        groups, targets = measure_processes(self.sizes, self.fewer_runs)
        self.sections += [f"## {title}\n\n{results_table(results)}\n" for title, results in groups]
        self.targets += targets

    def memory(self) -> None:
        local = {size: self.file(768, size) for size in (100, 1_000, 2_000)}
        gzipped = {size: str(corpus.gzipped(Path(local[size]))) for size in (100, 1_000)}
        small = corpus.split(Path(local[100]), 300)
        cases = [ours(f"defaults, {size:,} MB", file) for size, file in local.items()]
        cases += [ours(f"validation off, {size:,} MB", file, **OFF) for size, file in local.items()]
        cases += [ours(f"defaults, gzip of {size:,} MB", file) for size, file in gzipped.items()]
        cases += [Case("defaults, 300 objects with a total of 100 MB", "ours", f"{small}/*.ndjson")]
        with run_s3([local[100], local[1_000]]) as environment:
            for size in (100, 1_000):
                variables = environment | {"SOURCE_BYTES": str(Path(local[size]).stat().st_size)}
                uri, options = f"s3://bench/{Path(local[size]).name}", {"source_conn_id": "bench_s3"}
                cases.append(Case(f"defaults, S3, {size:,} MB", "ours", uri, options, environment=variables))
            text = "The S3 server is moto, a Python process on the same two cores, which limits the rate.\n\n"
            results = self.group("Memory", cases, text, runs=min(2, self.fewer_runs))
        for kind, limit in (("defaults", 32), ("validation off", 32)):
            peaks = [results[f"{kind}, {size:,} MB"].over_mb for size in local]
            self.targets.append(at_most(f"memory, local file, {kind}", limit, max(peaks), " MB"))
            self.targets.append(
                at_most(f"memory, largest of three sizes relative to smallest, {kind}", 1.1, max(peaks) / min(peaks))
            )
        for kind in ("gzip of", "S3,"):
            peaks = [results[f"defaults, {kind} {size:,} MB"].over_mb for size in (100, 1_000)]
            self.targets.append(at_most(f"memory, {kind.strip(' ,of')}", 96, max(peaks), " MB"))
        self.add_requests_target(
            "300 objects", -(-rows_in(local[100]) // 5_000), results["defaults, 300 objects with a total of 100 MB"]
        )

    def networks(self) -> None:
        file = self.file(768, 2_000)
        cases = [ours(f"validation off, {count} in flight", file, max_in_flight=count, **OFF) for count in (1, 2, 4)]
        cases += [ours("defaults, 4 in flight", file, max_in_flight=4)]
        results = self.group("200 ms latency per request, 2 GB", cases, latency=0.2)
        rate = results["validation off, 4 in flight"].rate / results["validation off, 1 in flight"].rate
        self.targets.append(at_least("200 ms latency, four in flight relative to one", 2.5, rate))
        results = self.group(
            "30 MB/s per connection, 2 GB",
            [
                Case("documentation's example, 5,000 per call", "docs_batches", file, runs=1),
                ours("defaults", file),
            ],
            rate=30,
        )
        batches, default = results.values()
        ratio = default.rate / batches.rate
        self.targets.append(at_least("30 MB/s per connection, relative to the documentation's example", 6, ratio))

    def sync(self) -> None:
        file = self.file(768, 2_000)
        rows = rows_in(file)
        results = self.group(
            f"Sync, 768 dimensions, {rows:,} vectors", nights.cases(file, rows), nights.TEXT, holds_corpus=True
        )
        self.targets += nights.targets(rows, list(results.values()))

    def text(self) -> str:
        """Return all targets and tables as Markdown."""
        rows = [
            f"| {target.name} | {target.target} | {target.measured} | {'yes' if target.is_met else '**no**'} |"
            for target in self.targets
        ]
        return "\n".join(["| measurement | target | measured | met |", "|---|---|---|---|", *rows, "", *self.sections])


def ours(label: str, file: str, **options: Any) -> Case:
    """Return a case of this provider's operator."""
    return Case(label, "ours", file, options)


def rows_in(file: str) -> int:
    with Path(file).open("rb") as stream:
        return sum(1 for _ in stream)


GROUPS = ("two_gigabytes", "peers", "other_dimensions", "parquet", "processes", "memory", "networks", "sync")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="use small files and one run each, to check that everything works"
    )
    parser.add_argument(
        "--only", choices=GROUPS, action="append", help="run only these groups, and do not write results.md"
    )
    args = parser.parse_args()
    bench = Bench(0.05, 1) if args.quick else Bench(1, 7)
    for name in args.only or GROUPS:
        getattr(bench, name)()
    if args.quick or args.only:
        print(bench.text())  # noqa: T201
        return
    method = (__doc__ or "").split("\n\n")[1].strip()
    introduction = (
        f"# Results\n\nWritten by `make bench` on {datetime.now(UTC):%Y-%m-%d}: Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, loopback. {method}\n\n"
        "The sink discards bodies in the kernel, so that it does not limit the measurements (`benchmarks/sink.py`).\n\n"
    )
    (HERE / "results.md").write_text(introduction + bench.text())


if __name__ == "__main__":
    main()
