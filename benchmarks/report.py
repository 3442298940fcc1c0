"""Write the results as Markdown, with a description of the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cases import Result, Target

METHOD = """\
The cases of a group take turns (A B C A B C), each run is a process of its own, and the medians are compared. If the
speed of the machine drifts, the seconds change but not the ratios. Each process first loads one row, which imports all
modules. The seconds exclude this, and the memory is the peak above what the process used then. Of a process that a load
starts, it is the whole peak, with the libraries that it imports.

The sink discards bodies in the kernel, so that it does not limit the measurements (`benchmarks/sink.py`)."""


def introduction(commit: str, minutes: float) -> str:
    """Return the heading of the page.

    :param commit: What is measured.
    :param minutes: How long the benchmarks took.
    """
    return (
        f"# Results\n\nWritten by one run of `make bench` on {datetime.now(UTC):%Y-%m-%d} in {minutes:.0f} minutes, at "
        f"commit {commit}.\nMachine: {machine()}.\n\n{METHOD}"
    )


def machine() -> str:
    """Describe the machine in one line."""
    processors = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in processors if line.startswith("model name")), "processor")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Python {platform.python_version()}, {os.cpu_count()} cores ({model}), {memory:.0f} GB of memory, "
        f"{platform.system()} {platform.release()}, loopback"
    )


def current_commit() -> str:
    """Return the commit of the project, with ``-dirty`` if files differ from it."""
    return subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def targets_table(targets: Sequence[Target]) -> str:
    rows = [
        f"| {target.name} | {target.target} | {target.measured} | {'yes' if target.is_met else '**no**'} |"
        for target in targets
    ]
    return "\n".join(["| measurement | target | measured | met |", "|---|---|---|---|", *rows])


def results_table(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table. Cases with a number of rows are compared by their rows per second."""
    in_rows = all(result.case.rows for result in results)
    rates = [result.vectors_per_second if in_rows else result.rate for result in results]
    unit = "vectors/s" if in_rows else "MB/s of source"
    amount_unit = "million vectors" if in_rows else "GB"
    lines = [
        f"| | s, median (min, max) | {unit} | relative to the first | CPU s per {amount_unit} | "
        "MB over an empty run | processes started | MB of each | requests | MB sent | largest request, MB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result, rate in zip(results, rates, strict=True):
        shortest, longest = (seconds(value) for value in result.spread)
        amount = result.case.rows / 1e6 if in_rows else result.case.source_bytes / 1e9
        lines.append(
            f"| {result.case.label} | {seconds(result.seconds)} ({shortest}, {longest}) | {rate:.0f} | "
            f"{rate / rates[0]:.2f} | {result.cpu / amount:.1f} | {result.over_mb:.0f} | "
            f"{result.started} | {result.started_mb:.0f} | {result.requests} | "
            f"{result.bytes_sent / 1e6:.0f} | {result.largest / 1e6:.1f} |"
        )
    return "\n".join(lines)


def seconds(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
