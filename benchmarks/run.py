"""Measure this provider side by side with its peers, on the same files and the same sink: ``make bench``.

Cases of a group are run in turn, A B C A B C, each run a process of its own, and their medians are compared; so a
machine whose speed drifts changes seconds, not ratios. Each process first does the same with one row, so that what is
imported on first use is there: seconds are without that, and memory is the peak over what the process then had.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import corpus

HERE = Path(__file__).parent
DATA = Path(os.environ.get("BENCH_DATA", Path(tempfile.gettempdir()) / "vectorize-bench"))
NEVER = {"float32_text": "never"}
FULL, LIGHT, OFF = NEVER, NEVER | {"validation": "light"}, NEVER | {"validation": "off"}


@dataclass(frozen=True)
class Case:
    """One line of a table.

    :param label: what is measured.
    :param contestant: a name of contestants.py.
    :param file: what is loaded.
    :param options: of the contestant.
    :param runs: how often, or 0 for the group's number.
    :param environment: further variables.
    """

    label: str
    contestant: str
    file: str
    options: dict[str, Any] = field(default_factory=dict)
    runs: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def one_row(self) -> str:
        """An object with one row, beside it."""
        folder, _, name = self.file.rpartition("/")
        return f"{folder}/one-row{'' if '*' in name else f'-{name}'}"


@dataclass(frozen=True)
class Result:
    """Medians of a case."""

    case: Case
    seconds: float
    spread: tuple[float, float]
    over_mb: float
    peak_mb: float
    requests: int
    sent: int
    largest: int
    source: int

    @property
    def rate(self) -> float:
        """MB of source text a second."""
        return self.source / 1e6 / self.seconds


@contextmanager
def sink(dimensions: int, latency: float = 0.0, rate: float = 0.0) -> Iterator[int]:
    arguments = ["--dimensions", str(dimensions), "--latency", str(latency), "--rate", str(rate)]
    with subprocess.Popen(  # noqa: S603
        [sys.executable, str(HERE / "sink.py"), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def counts(port: int, path: str = "counts") -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
        found: dict[str, int] = json.load(answer)["result"] or {}
        return found


def once(case: Case, port: int) -> tuple[dict[str, float], dict[str, int]]:
    counts(port, "reset")
    arguments = [case.contestant, case.file, str(port), "--one-row", case.one_row]
    arguments += ["--options", json.dumps(case.options)]
    done = subprocess.run(  # noqa: S603
        [sys.executable, str(HERE / "contestants.py"), *arguments],
        capture_output=True,
        text=True,
        env=os.environ | case.environment,
        check=False,
        timeout=900,
    )
    if done.returncode:
        raise SystemExit(f"{case.label} failed:\n{done.stderr[-3_000:]}")
    return json.loads(done.stdout.splitlines()[-1]), counts(port)


def group(
    title: str, cases: Sequence[Case], *, dimensions: int, runs: int, latency: float = 0.0, rate: float = 0.0
) -> list[Result]:
    """Run the cases in turn and sum them up."""
    print(f"\n{title}", flush=True)  # noqa: T201
    found: dict[str, list[tuple[dict[str, float], dict[str, int]]]] = {case.label: [] for case in cases}
    with sink(dimensions, latency, rate) as port:
        for number in range(runs):
            for case in cases:
                if number < (case.runs or runs):
                    found[case.label].append(once(case, port))
    results = []
    for case in cases:
        measured = found[case.label]
        seconds = sorted(figures["seconds"] for figures, _ in measured)
        count = measured[-1][1]
        local = case.file.removesuffix(".gz")
        if "*" in local:
            source = sum(part.stat().st_size for part in Path(local).parent.glob(Path(local).name))
        else:
            source = Path(local).stat().st_size if Path(local).exists() else int(case.environment["SOURCE_BYTES"])
        over = statistics.median(figures["over_mb"] for figures, _ in measured)
        spread = (seconds[0], seconds[-1])
        result = Result(
            case,
            statistics.median(seconds),
            spread,
            over,
            statistics.median(figures["peak_mb"] for figures, _ in measured),
            count["requests"],
            count["bytes"],
            count["largest"],
            source,
        )
        results.append(result)
        print(  # noqa: T201
            f"  {case.label:44} {result.seconds:7.2f} s  {result.rate:6.0f} MB/s  {over:6.0f} MB over", flush=True
        )
    return results


def table(results: Sequence[Result]) -> str:
    lines = [
        "| | s, median (least, most) | MB/s of source | of the first | MB over an empty run | requests | MB sent | "
        "largest MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        least, most = result.spread
        lines.append(
            f"| {result.case.label} | {result.seconds:.2f} ({least:.2f}, {most:.2f}) | {result.rate:.0f} | "
            f"{result.rate / results[0].rate:.2f} | {result.over_mb:.0f} | {result.requests} | "
            f"{result.sent / 1e6:.0f} | {result.largest / 1e6:.1f} |"
        )
    return "\n".join(lines)


def least_requests(files: Sequence[str], vectors: int = 5_000, size: int = 100_000_000) -> int:
    """The fewest requests that keep the order: as many rows in each as fit."""
    requests, rows, held = 0, 0, 0
    for file in files:
        with Path(file).open("rb") as stream:
            for line in stream:
                if not rows or rows >= vectors or held + len(line) > size:
                    requests, rows, held = requests + 1, 0, 0
                rows += 1
                held += len(line)
    return requests


@dataclass(frozen=True)
class Target:
    """What was wanted, and what came."""

    what: str
    wanted: str
    came: str
    met: bool


def at_least(what: str, wanted: float, came: float, unit: str = "") -> Target:
    return Target(what, f"at least {wanted:g}{unit}", f"{came:.3g}{unit}", came >= wanted)


def at_most(what: str, wanted: float, came: float, unit: str = "") -> Target:
    return Target(what, f"at most {wanted:g}{unit}", f"{came:.3g}{unit}", came <= wanted)


@contextmanager
def s3(files: Sequence[str]) -> Iterator[dict[str, str]]:
    """A real S3 protocol server with the files in it; yields the environment that Airflow needs for it."""
    import boto3  # noqa: PLC0415
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        keys = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=endpoint, **keys)
        client.create_bucket(Bucket="bench")
        for file in files:
            client.upload_file(file, "bench", Path(file).name)
            one_row = Path(Case("", "", file).one_row)
            client.upload_file(str(one_row), "bench", one_row.name)
        extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": "bench", "password": "bench", "extra": extra}
        yield {"AIRFLOW_CONN_BENCH_S3": json.dumps(connection)}
    finally:
        server.stop()


def wrangler() -> str | None:
    found = sorted(HERE.parent.glob(".tools/**/node_modules/.bin/wrangler"))
    return str(found[0]) if found else None


class Bench:
    """All groups, in order; collects tables and targets.

    :param scale: all sizes are multiplied with it.
    :param runs: of the first group; others have fewer.
    """

    def __init__(self, scale: float, runs: int) -> None:
        self.runs, self.few = runs, min(3, runs)
        self.parts: list[str] = []
        self.targets: list[Target] = []
        self.sizes = {size: max(10, int(size * scale)) for size in (100, 200, 500, 1_000, 2_000)}

    def file(self, dimensions: int, size: int) -> str:
        return str(corpus.ndjson(DATA, dimensions, self.sizes[size]))

    def group(self, title: str, cases: Sequence[Case], text: str = "", **options: Any) -> dict[str, Result]:
        results = group(title, cases, **{"dimensions": 768, "runs": self.few, **options})
        self.parts.append(f"## {title}\n\n{text}{table(results)}\n")
        return {result.case.label: result for result in results}

    def as_few(self, what: str, least: int, result: Result) -> None:
        self.targets.append(
            Target(f"requests, {what}", f"the least, {least}", str(result.requests), result.requests == least)
        )

    def two_gigabytes(self) -> None:
        file, before = self.file(768, 2_000), self.file(768, 200)
        found = self.group(
            "2 GB, 768 dimensions, float64 text",
            [
                Case("plain socket", "plain_socket", file),
                ours("as it is: validation off", file, **OFF),
                ours("light checks", file, **LIGHT),
                Case("full checks", "ours", file, FULL, runs=self.few),
                Case("the defaults: full checks, float32 text", "ours", file, runs=self.few),
                Case("cloudflare SDK, 5,000 a call", "sdk", file, runs=self.few),
                ours("as it is, 200 MB", before, **OFF),
                Case("the defaults, 200 MB", "ours", before, runs=self.few),
            ],
            runs=self.runs,
        )
        socket, off, light, full, default, sdk, off_200, default_200 = found.values()
        self.targets += [
            at_least("as it is, of the plain socket's rate", 0.75, off.rate / socket.rate),
            at_least("light checks, of the plain socket's rate", 0.4, light.rate / socket.rate),
            at_least("full checks", 400, full.rate, " MB/s"),
            at_least("full checks, of the SDK's rate at 5,000 a call", 1, full.rate / sdk.rate),
            at_least("the defaults", 250, default.rate, " MB/s"),
            at_most("time of 2 GB in that of 200 MB, as it is", 10.5, off.seconds / off_200.seconds),
            at_most("time of 2 GB in that of 200 MB, the defaults", 10.5, default.seconds / default_200.seconds),
        ]
        self.as_few("2 GB as they are", least_requests([file]), off)
        self.as_few("2 GB as float32 text", -(-rows_in(file) // 5_000), default)

    def peers(self) -> None:
        file = self.file(768, 1_000)
        found = self.group(
            "1 GB, 768 dimensions: the peers",
            [
                Case("plain socket", "plain_socket", file),
                ours("the defaults", file),
                ours("full checks", file, **FULL),
                Case("cloudflare SDK, 1,000 a call", "sdk", file, {"size": 1_000}),
                Case("cloudflare SDK, 5,000 a call", "sdk", file),
                Case("documentation's example, whole file", "docs_whole", file),
                Case("documentation's example, 5,000 a call", "docs_batches", file),
                Case("the first-written operator", "first_written", file, runs=1),
            ],
        )
        first_written = found["the first-written operator"]
        self.targets.append(
            at_least(
                "full checks, times the first-written operator", 20, found["full checks"].rate / first_written.rate
            )
        )
        if command := wrangler():
            hundred = str(corpus.first_lines(Path(self.file(768, 2_000)), 100_000))
            corpus.first_lines(Path(hundred), 1)
            self.group(
                "100,000 vectors, which is where wrangler stops",
                [Case("wrangler", "wrangler", hundred, {"command": command}, runs=1), ours("the defaults", hundred)],
            )

    def other_dimensions(self) -> None:
        for dimensions, size in ((32, 500), (1_536, 1_000)):
            file = self.file(dimensions, size)
            found = self.group(
                f"{size / 1_000:g} GB, {dimensions} dimensions",
                [
                    Case("cloudflare SDK, 5,000 a call", "sdk", file),
                    ours("full checks", file, **FULL),
                    ours("the defaults", file),
                    ours("light checks", file, **LIGHT),
                    ours("as it is", file, **OFF),
                    Case("plain socket", "plain_socket", file),
                ],
                dimensions=dimensions,
            )
            sdk, full, default, _, off, _ = found.values()
            if dimensions == 32:
                self.targets.append(
                    at_least("32 dimensions, full checks, of the SDK's rate", 0.75, full.rate / sdk.rate)
                )
            self.as_few(f"{dimensions} dimensions as they are", least_requests([file]), off)
            self.as_few(f"{dimensions} dimensions as float32 text", -(-rows_in(file) // 5_000), default)

    def memory(self) -> None:
        local = {size: self.file(768, size) for size in (100, 1_000, 2_000)}
        packed = {size: str(corpus.gzipped(Path(local[size]))) for size in (100, 1_000)}
        small = corpus.parts(Path(local[100]), 300)
        cases = [ours(f"defaults, {size:,} MB", file) for size, file in local.items()]
        cases += [ours(f"as it is, {size:,} MB", file, **OFF) for size, file in local.items()]
        cases += [ours(f"defaults, gzip of {size:,} MB", file) for size, file in packed.items()]
        cases += [Case("defaults, 300 objects of 100 MB in all", "ours", f"{small}/*.ndjson")]
        with s3([local[100], local[1_000]]) as environment:
            for size in (100, 1_000):
                bytes_of = environment | {"SOURCE_BYTES": str(Path(local[size]).stat().st_size)}
                uri, options = f"s3://bench/{Path(local[size]).name}", {"source_conn_id": "bench_s3"}
                cases.append(Case(f"defaults, S3, {size:,} MB", "ours", uri, options, environment=bytes_of))
            text = "S3 is moto's server, a Python process on the same two cores: its rate is the server's.\n\n"
            found = self.group("Memory", cases, text, runs=min(2, self.few))
        for kind, most in (("defaults", 32), ("as it is", 32)):
            peaks = [found[f"{kind}, {size:,} MB"].over_mb for size in local]
            self.targets.append(at_most(f"memory, local file, {kind}", most, max(peaks), " MB"))
            self.targets.append(
                at_most(f"memory, largest of three sizes by least, {kind}", 1.1, max(peaks) / min(peaks))
            )
        for kind in ("gzip of", "S3,"):
            peaks = [found[f"defaults, {kind} {size:,} MB"].over_mb for size in (100, 1_000)]
            self.targets.append(at_most(f"memory, {kind.strip(' ,of')}", 96, max(peaks), " MB"))
        self.as_few("300 objects", -(-rows_in(local[100]) // 5_000), found["defaults, 300 objects of 100 MB in all"])

    def networks(self) -> None:
        file = self.file(768, 2_000)
        cases = [ours(f"as it is, {n} in flight", file, max_in_flight=n, **OFF) for n in (1, 2, 4)]
        cases += [ours(f"the defaults, {n} in flight", file, max_in_flight=n) for n in (4,)]
        found = self.group("200 ms before each answer, 2 GB", cases, latency=0.2)
        rate = found["as it is, 4 in flight"].rate / found["as it is, 1 in flight"].rate
        self.targets.append(at_least("200 ms before each answer, four in flight, times one", 2.5, rate))
        found = self.group(
            "30 MB/s a connection, 2 GB",
            [
                Case("documentation's example, 5,000 a call", "docs_batches", file, runs=1),
                ours("the defaults", file),
            ],
            rate=30,
        )
        batches, default = found.values()
        times = default.rate / batches.rate
        self.targets.append(at_least("30 MB/s a connection, times the documentation's example", 6, times))

    def text(self) -> str:
        rows = [f"| {t.what} | {t.wanted} | {t.came} | {'yes' if t.met else '**no**'} |" for t in self.targets]
        return "\n".join(["| target | wanted | came | met |", "|---|---|---|---|", *rows, "", *self.parts])


def ours(label: str, file: str, **options: Any) -> Case:
    return Case(label, "ours", file, options)


def rows_in(file: str) -> int:
    with Path(file).open("rb") as stream:
        return sum(1 for _ in stream)


GROUPS = ("two_gigabytes", "peers", "other_dimensions", "memory", "networks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small files, one run each: does it work?")
    parser.add_argument("--only", choices=GROUPS, action="append", help="these groups, and results.md stays")
    args = parser.parse_args()
    bench = Bench(0.05, 1) if args.quick else Bench(1, 7)
    for name in args.only or GROUPS:
        getattr(bench, name)()
    if args.quick or args.only:
        print(bench.text())  # noqa: T201
        return
    about = (__doc__ or "").split("\n\n")[1].strip()
    head = (
        f"# Results\n\nWritten by `make bench` on {datetime.now(UTC):%Y-%m-%d}: Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, loopback. {about}\n\n"
        "The sink drops bodies in the kernel, so that it is not what is measured: `benchmarks/sink.py`.\n\n"
    )
    (HERE / "results.md").write_text(head + bench.text())


if __name__ == "__main__":
    main()
