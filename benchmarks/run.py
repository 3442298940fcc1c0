"""Measure this provider side by side with its peers, on the same files and the same sink: ``make bench``.

Cases of a group are run in turn, A B C A B C, each run a process of its own, and their medians are compared; so a
machine whose speed drifts changes seconds, not ratios. Seconds exclude imports. Memory is the peak over what the
process had after its imports; a load of one row shows what Airflow imports on first use.
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
from contextlib import ExitStack, contextmanager
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
        return f"{folder}/one-row-{name}"


@dataclass(frozen=True)
class Result:
    """Medians of a case."""

    case: Case
    seconds: float
    spread: tuple[float, float]
    over_mb: float
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
        source = Path(local).stat().st_size if Path(local).exists() else int(case.environment["SOURCE_BYTES"])
        over = statistics.median(figures["over_mb"] for figures, _ in measured)
        spread = (seconds[0], seconds[-1])
        result = Result(
            case, statistics.median(seconds), spread, over, count["requests"], count["bytes"], count["largest"], source
        )
        results.append(result)
        print(  # noqa: T201
            f"  {case.label:44} {result.seconds:7.2f} s  {result.rate:6.0f} MB/s  {over:6.0f} MB over", flush=True
        )
    return results


def table(results: Sequence[Result], first: str = "of the first") -> str:
    lines = [
        f"| | s, median (least, most) | MB/s of source | {first} | MB over imports | requests | MB sent | largest MB |",
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


def least_requests(file: str, vectors: int = 5_000, size: int = 100_000_000) -> int:
    """The fewest requests that keep the order: as many rows in each as fit."""
    requests, rows, held = 0, 0, 0
    with Path(file).open("rb") as stream:
        for line in stream:
            if not rows or rows >= vectors or held + len(line) > size:
                requests, rows, held = requests + 1, 0, 0
            rows += 1
            held += len(line)
    return requests


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
        extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": "bench", "password": "bench", "extra": extra}
        yield {"AIRFLOW_CONN_BENCH_S3": json.dumps(connection)}
    finally:
        server.stop()


def wrangler() -> str | None:
    found = sorted(HERE.parent.glob(".tools/**/node_modules/.bin/wrangler"))
    return str(found[0]) if found else None


def measure(quick: bool) -> str:
    big, runs = (200, 1) if quick else (2_000, 7)
    few = 1 if quick else 3
    mid = 100 if quick else 1_000
    d768, d32, d1536 = (str(corpus.ndjson(DATA, d, s)) for d, s in ((768, big), (32, mid // 2), (1536, mid)))
    d768_mid, d768_small = (str(corpus.ndjson(DATA, 768, size)) for size in (mid, mid // 10))
    one_row = str(corpus.first_lines(Path(d768_small), 1))
    parts = []

    def ours(label: str, file: str, **options: Any) -> Case:
        return Case(label, "ours", file, options)

    def add(title: str, results: Sequence[Result], text: str = "") -> None:
        parts.append(f"## {title}\n\n{text}{table(results)}\n")

    title = f"{big / 1000:g} GB, 768 dimensions, float64 text"
    cases = [
        Case("plain socket", "plain_socket", d768),
        ours("as it is: validation off", d768, **OFF),
        ours("light checks", d768, **LIGHT),
        ours("full checks", d768, **FULL),
        ours("the defaults: full checks, float32 text", d768),
        Case("cloudflare SDK, 5,000 a call", "sdk", d768, runs=few),
    ]
    results = group(title, cases, dimensions=768, runs=runs)
    least = least_requests(d768)
    add(title, results, f"The least number of requests for the file as it is: {least}.\n\n")

    title = f"{mid / 1000:g} GB, 768 dimensions: the peers"
    cases = [
        Case("plain socket", "plain_socket", d768_mid),
        ours("the defaults", d768_mid),
        ours("full checks", d768_mid, **FULL),
        Case("cloudflare SDK, 1,000 a call", "sdk", d768_mid, {"size": 1_000}),
        Case("cloudflare SDK, 5,000 a call", "sdk", d768_mid),
        Case("documentation's example, whole file", "docs_whole", d768_mid),
        Case("documentation's example, 5,000 a call", "docs_batches", d768_mid),
        Case("the first-written operator", "first_written", d768_mid, runs=1),
    ]
    add(title, group(title, cases, dimensions=768, runs=few))

    if command := wrangler():
        hundred = str(corpus.first_lines(Path(str(corpus.ndjson(DATA, 768, big))), 100_000))
        title = "100,000 vectors at the most, which is where wrangler stops"
        cases = [
            Case("wrangler", "wrangler", hundred, {"command": command}, runs=1),
            ours("the defaults", hundred),
        ]
        add(title, group(title, cases, dimensions=768, runs=few))

    for dimensions, file in ((32, d32), (1536, d1536)):
        title = f"{Path(file).stat().st_size / 1e9:.1f} GB, {dimensions} dimensions"
        cases = [
            Case("cloudflare SDK, 5,000 a call", "sdk", file),
            ours("full checks", file, **FULL),
            ours("the defaults", file),
            Case("plain socket", "plain_socket", file),
        ]
        text = f"The least number of requests for the file as it is: {least_requests(file)}.\n\n"
        add(title, group(title, cases, dimensions=dimensions, runs=few), text)

    title = "Memory, and how time grows"
    gz = str(corpus.gzipped(Path(d768_mid)))
    sizes = [one_row, d768_small, d768_mid, d768]
    cases = [ours(f"defaults, {Path(file).stat().st_size / 1e6:,.1f} MB", file) for file in sizes]
    cases += [ours(f"as it is, {Path(file).stat().st_size / 1e6:,.1f} MB", file, **OFF) for file in sizes]
    cases += [ours(f"defaults, gzip of {mid} MB", gz)]
    with ExitStack() as stack:
        stored = [one_row, d768_small, d768_mid]
        environment = stack.enter_context(s3(stored))
        for file in stored:
            size = Path(file).stat().st_size
            options = {"source_conn_id": "bench_s3"}
            bytes_of = environment | {"SOURCE_BYTES": str(size)}
            uri = f"s3://bench/{Path(file).name}"
            cases.append(Case(f"defaults, S3, {size / 1e6:,.1f} MB", "ours", uri, options, environment=bytes_of))
        add(title, group(title, cases, dimensions=768, runs=few))

    title = f"200 ms before each answer, {mid / 1000:g} GB"
    cases = [ours(f"defaults, {n} in flight", d768_mid, max_in_flight=n, **FULL) for n in (1, 2, 4)]
    add(title, group(title, cases, dimensions=768, runs=few, latency=0.2))

    small = str(corpus.ndjson(DATA, 768, mid // 3))
    title = f"30 MB/s a connection, {mid // 3} MB"
    cases = [
        Case("documentation's example, 5,000 a call", "docs_batches", small),
        ours("the defaults", small),
        Case("cloudflare SDK, 5,000 a call", "sdk", small),
    ]
    add(title, group(title, cases, dimensions=768, runs=1, rate=30))
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small files, one run each: does it work?")
    args = parser.parse_args()
    text = measure(args.quick)
    if not args.quick:
        about = (__doc__ or "").split("\n\n")[1]
        head = (
            f"# Results\n\nWritten by `make bench` on {datetime.now(UTC):%Y-%m-%d}: Python "
            f"{platform.python_version()}, {os.cpu_count()} cores, loopback. {about}\n\n"
            "The sink drops bodies in the kernel, so that it is not what is measured: `benchmarks/sink.py`.\n\n"
        )
        (HERE / "results.md").write_text(head + text)


if __name__ == "__main__":
    main()
