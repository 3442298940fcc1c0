"""Run many histories of the model test.

``python -m tests.sync.campaign --runs 1000`` prints the violations of the promise. ``--without RULE`` switches a rule
off, and ``--each`` switches off one rule after the other, to show that the model notices.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from contextlib import ExitStack
from typing import Any

from .model import run_history
from .switches import SWITCHES, without


def campaign(runs: int, first: int = 0, *, stop: bool = False) -> tuple[Counter[str], dict[str, Any]]:
    """Run many histories. Return the number of histories by kind of violation, and the first example of each."""
    counts: Counter[str] = Counter()
    examples: dict[str, Any] = {}
    for seed in range(first, first + runs):
        violations = run_history(seed)
        for kind in {kind for kind, _ in violations}:
            counts[kind] += 1
            examples.setdefault(kind, (seed, next(what for found, what in violations if found == kind)))
        if stop and counts:
            break
    return counts, examples


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", choices=sorted(SWITCHES))
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--from", dest="start", default="", help="with --each: the first rule")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    names = [name for name in sorted(SWITCHES) if name >= arguments.start]
    for name in names if arguments.each else [arguments.without]:
        with ExitStack() as stack:
            stack.enter_context(without(name))
            counts, examples = campaign(arguments.runs, arguments.seed, stop=arguments.each)
        print(f"{name or 'all rules':24} {dict(counts)} {examples}", flush=True)
        if not arguments.each and counts:
            sys.exit(1)


if __name__ == "__main__":
    main()
