"""Run the cases of a group of benchmarks, each in a process of its own, and summarize their runs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cases import Case, Group, Result

HERE = Path(__file__).parent
#: Folder of the generated source files.
DATA = Path(os.environ.get("BENCH_DATA", Path(tempfile.gettempdir()) / "vectorize-bench"))


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
    arguments = [case.contestant, case.source, str(port), "--one-row", case.one_row]
    arguments += ["--options", json.dumps(case.options)]
    environment = os.environ | case.environment
    # Modules that were never compiled would be compiled again by each process that a load starts.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.run(  # noqa: S603
        [sys.executable, str(HERE / "contestants.py"), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=900,
    )
    if process.returncode:
        raise SystemExit(f"{case.label} failed:\n{process.stderr[-3_000:]}")
    return json.loads(process.stdout.splitlines()[-1]), sink_counts(port)


def run_group(group: Group, most_runs: int) -> dict[str, Result]:
    """Run the cases in turn, print their results, and return these by the label of their cases.

    :param most_runs: Maximum number of runs of a case.
    """
    print(f"\n{group.title}", flush=True)  # noqa: T201
    runs_by_label: dict[str, list[tuple[dict[str, float], dict[str, int]]]] = {case.label: [] for case in group.cases}
    with run_sink(group.dimensions, group.latency, group.rate, group.holds_corpus) as port:
        for number in range(most_runs):
            for case in group.cases:
                if number < case.runs:
                    runs_by_label[case.label].append(run_once(case, port))
    results = {case.label: _result(case, runs_by_label[case.label]) for case in group.cases}
    for label, result in results.items():
        print(  # noqa: T201
            f"  {label:48} {result.seconds:7.2f} s  {result.rate:6.0f} MB/s  {result.over_mb:6.0f} MB over", flush=True
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
        int(max(figures["started"] for figures, _ in runs)),
        max(figures["started_mb"] for figures, _ in runs),
        counts["requests"],
        counts["reads"],
        counts["bytes"],
        counts["largest"],
    )
