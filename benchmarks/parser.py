"""Measure what a load costs without pysimdjson, for decision 11: ``make bench-parser``.

Both ways take turns on one file in the file system cache. Each load is a process of its own, which sends to sink.py.
CPU time depends less than the duration on what else the machine does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

import corpus
from cases import Case
from measure import DATA, run_once, run_sink

#: Settings of a load, by the name in the table.
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    'full checks, `float32_text="never"`': {"float32_text": "never"},
    '`validation="light"`': {"validation": "light"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    report("| dimensions | settings | MB/s with pysimdjson | MB/s without | ratio | ratio of CPU time |")
    report("|--:|---|--:|--:|--:|--:|")
    for dimensions in (32, 768):
        file = corpus.ndjson(DATA, dimensions, args.megabytes)
        with run_sink(dimensions) as port:
            for name, options in SETTINGS.items():
                cases = [Case(name, way, str(file), options) for way in ("ours", "line_by_line")]
                figures = [[run_once(case, port)[0] for case in cases] for _ in range(args.runs)]
                fast, slow = (file.stat().st_size / 1e6 / seconds for seconds in medians(figures, "seconds"))
                fast_cpu, slow_cpu = medians(figures, "cpu")
                ratios = f"{slow / fast:.2f} | {slow_cpu / fast_cpu:.2f}"
                report(f"| {dimensions} | {name} | {fast:.0f} | {slow:.0f} | {ratios} |")


def medians(figures: list[list[dict[str, float]]], name: str) -> list[float]:
    """Return the median of a figure over the runs, for each of the two ways."""
    return [statistics.median(run[way][name] for run in figures) for way in (0, 1)]


def report(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
