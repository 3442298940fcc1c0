"""Run the cases of a group of benchmarks, and summarize them as a table and as targets."""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
#: Folder of the generated source files.
DATA = Path(os.environ.get("BENCH_DATA", Path(tempfile.gettempdir()) / "vectorize-bench"))


@dataclass(frozen=True)
class Case:
    """One line of a table.

    :param label: What is measured.
    :param contestant: Name of a function in contestants.py.
    :param file: Source to load.
    :param options: Options of the contestant.
    :param runs: Number of runs, or 0 for the number of the group.
    :param environment: Additional environment variables.
    :param rows: Number of rows of the source, for groups whose sources have different formats.
    """

    label: str
    contestant: str
    file: str
    options: dict[str, Any] = field(default_factory=dict)
    runs: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    rows: int = 0

    @property
    def one_row(self) -> str:
        """Source with one row, in the same folder."""
        folder, _, name = self.file.rpartition("/")
        return f"{folder}/one-row{'' if '*' in name else f'-{name}'}"

    @property
    def source_bytes(self) -> int:
        """Uncompressed bytes of the source."""
        file = Path(self.file.removesuffix(".gz"))
        if "*" in file.name:
            return sum(part.stat().st_size for part in file.parent.glob(file.name))
        return file.stat().st_size if file.exists() else int(self.environment["SOURCE_BYTES"])


@dataclass(frozen=True)
class Result:
    """Medians of a case.

    :param seconds: Duration of a run.
    :param spread: Shortest and longest duration.
    :param over_mb: Peak memory in MB above that of the process after a load of one row.
    :param cpu: CPU seconds of the process and of its children.
    :param requests: Number of write requests of a run.
    :param reads: Number of all other requests of a run.
    :param bytes_sent: Bytes of all request bodies of a run.
    :param largest: Bytes of the largest request body.
    """

    case: Case
    seconds: float
    spread: tuple[float, float]
    over_mb: float
    cpu: float
    requests: int
    reads: int
    bytes_sent: int
    largest: int

    @property
    def rate(self) -> float:
        """MB/s of source text."""
        return self.case.source_bytes / 1e6 / self.seconds

    @property
    def vectors_per_second(self) -> float:
        """Rows of the source per second, or 0 if the case does not say how many it has."""
        return self.case.rows / self.seconds


@dataclass(frozen=True)
class Target:
    """A target and the measured value."""

    name: str
    target: str
    measured: str
    is_met: bool


def at_least(name: str, target: float, measured: float, unit: str = "") -> Target:
    return Target(name, f"at least {target:g}{unit}", f"{measured:.3g}{unit}", measured >= target)


def at_most(name: str, target: float, measured: float, unit: str = "") -> Target:
    return Target(name, f"at most {target:g}{unit}", f"{measured:.3g}{unit}", measured <= target)


@contextmanager
def run_sink(dimensions: int, latency: float = 0.0, rate: float = 0.0, holds_corpus: bool = False) -> Iterator[int]:
    """Run sink.py until the block ends, and yield its port."""
    arguments = ["--dimensions", str(dimensions), "--latency", str(latency), "--rate", str(rate)]
    arguments += ["--holds-corpus"] if holds_corpus else []
    with subprocess.Popen(  # noqa: S603
        [sys.executable, str(HERE / "sink.py"), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def sink_counts(port: int, path: str = "counts") -> dict[str, int]:
    """Return what the sink counted since its last reset, or reset it with the path ``reset``."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as response:
        counts: dict[str, int] = json.load(response)["result"] or {}
        return counts


def run_once(case: Case, port: int) -> tuple[dict[str, float], dict[str, int]]:
    """Run a case in its own process, and return its figures and the counts of the sink."""
    arguments = [case.contestant, case.file, str(port), "--one-row", case.one_row]
    arguments += ["--options", json.dumps(case.options)]
    process = subprocess.run(  # noqa: S603
        [sys.executable, str(HERE / "contestants.py"), *arguments],
        capture_output=True,
        text=True,
        env=os.environ | case.environment,
        check=False,
        timeout=900,
    )
    if process.returncode:
        raise SystemExit(f"{case.label} failed:\n{process.stderr[-3_000:]}")
    return json.loads(process.stdout.splitlines()[-1]), sink_counts(port)


def run_group(
    title: str,
    cases: Sequence[Case],
    *,
    dimensions: int,
    runs: int,
    latency: float = 0.0,
    rate: float = 0.0,
    holds_corpus: bool = False,
) -> list[Result]:
    """Run the cases in turn, print their results and return them.

    :param latency: Seconds before each response of the sink.
    :param rate: Maximum MB/s of each connection, 0 for no limit.
    :param holds_corpus: Whether the index of the sink holds the rows of the corpus.
    """
    print(f"\n{title}", flush=True)  # noqa: T201
    runs_by_label: dict[str, list[tuple[dict[str, float], dict[str, int]]]] = {case.label: [] for case in cases}
    with run_sink(dimensions, latency, rate, holds_corpus) as port:
        for number in range(runs):
            for case in cases:
                if number < (case.runs or runs):
                    runs_by_label[case.label].append(run_once(case, port))
    results = [_result(case, runs_by_label[case.label]) for case in cases]
    for result in results:
        print(  # noqa: T201
            f"  {result.case.label:44} {result.seconds:7.2f} s  {result.rate:6.0f} MB/s  {result.over_mb:6.0f} MB over",
            flush=True,
        )
    return results


def _result(case: Case, runs: list[tuple[dict[str, float], dict[str, int]]]) -> Result:
    seconds = sorted(figures["seconds"] for figures, _ in runs)
    over_mb = statistics.median(figures["over_mb"] for figures, _ in runs)
    counts = runs[-1][1]
    spread = (seconds[0], seconds[-1])
    return Result(
        case,
        statistics.median(seconds),
        spread,
        over_mb,
        statistics.median(figures["cpu"] for figures, _ in runs),
        counts["requests"],
        counts["reads"],
        counts["bytes"],
        counts["largest"],
    )


def results_table(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table. Cases with a number of rows are compared by their rows per second."""
    in_rows = all(result.case.rows for result in results)
    rates = [result.vectors_per_second if in_rows else result.rate for result in results]
    unit = "vectors/s" if in_rows else "MB/s of source"
    amount_unit = "million vectors" if in_rows else "GB"
    lines = [
        f"| | s, median (min, max) | {unit} | relative to the first | CPU s per {amount_unit} | "
        "MB over an empty run | requests | MB sent | largest request, MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result, rate in zip(results, rates, strict=True):
        shortest, longest = result.spread
        amount = result.case.rows / 1e6 if in_rows else result.case.source_bytes / 1e9
        lines.append(
            f"| {result.case.label} | {result.seconds:.2f} ({shortest:.2f}, {longest:.2f}) | {rate:.0f} | "
            f"{rate / rates[0]:.2f} | {result.cpu / amount:.1f} | {result.over_mb:.0f} | {result.requests} | "
            f"{result.bytes_sent / 1e6:.0f} | {result.largest / 1e6:.1f} |"
        )
    return "\n".join(lines)


def minimum_requests(files: Sequence[str], vectors: int = 5_000, size: int = 100_000_000) -> int:
    """Return the minimum number of requests that keep the order of the rows.

    :param vectors: Maximum number of vectors per request.
    :param size: Maximum number of bytes per request.
    """
    requests, rows, filled = 0, 0, 0
    for file in files:
        with Path(file).open("rb") as stream:
            for line in stream:
                if not rows or rows >= vectors or filled + len(line) > size:
                    requests, rows, filled = requests + 1, 0, 0
                rows += 1
                filled += len(line)
    return requests


@contextmanager
def run_s3(files: Sequence[str]) -> Iterator[dict[str, str]]:
    """Run an S3 server with the files until the block ends, and yield the environment variables for its connection."""
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
