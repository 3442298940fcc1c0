"""Measure what a load costs without pysimdjson, for decision 11: ``make bench-parser``.

Both ways take turns on one file in the file system cache. Each load is a process of its own, which sends to sink.py.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

import corpus
from measure import DATA, Case, run_once, run_sink

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
    report("| dimensions | settings | MB/s with pysimdjson | MB/s without | ratio |")
    report("|--:|---|--:|--:|--:|")
    for dimensions in (32, 768):
        file = corpus.ndjson(DATA, dimensions, args.megabytes)
        with run_sink(dimensions) as port:
            for name, options in SETTINGS.items():
                cases = [Case(name, way, str(file), options) for way in ("ours", "line_by_line")]
                seconds: dict[str, list[float]] = {case.contestant: [] for case in cases}
                for _ in range(args.runs):
                    for case in cases:
                        seconds[case.contestant].append(run_once(case, port)[0]["seconds"])
                fast, slow = (file.stat().st_size / 1e6 / statistics.median(times) for times in seconds.values())
                report(f"| {dimensions} | {name} | {fast:.0f} | {slow:.0f} | {slow / fast:.2f} |")


def report(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
