"""Measure this provider side by side with its peers, with the same files and the same sink: ``make bench``.

    python benchmarks/run.py [--quick] [--only GROUP]

A full run writes results.md again after each group, and at its end the figures that other pages quote.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

from cases import Files, Group, Target
from groups import dimensions, memory, networks, object_storage, parquet, peers, processes, small, sync
from measure import DATA, run_group
from quotes import RESULTS, update_pages
from report import current_commit, introduction, results_table, targets_table

GROUPS: dict[str, Callable[[Files], Iterator[Group]]] = {
    "dimensions": dimensions.groups,
    "processes": processes.groups,
    "small": small.groups,
    "parquet": parquet.groups,
    "sync": sync.groups,
    "memory": memory.groups,
    "s3": object_storage.groups,
    "networks": networks.groups,
    "peers": peers.groups,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="use small files and one run each, to check that everything works"
    )
    parser.add_argument("--only", choices=GROUPS, action="append", help="run only these groups")
    args = parser.parse_args()
    files, most_runs = (Files(DATA, 0.05), 1) if args.quick else (Files(DATA), 5)
    started, commit = time.monotonic(), current_commit()
    sections: list[str] = []
    targets: list[Target] = []
    for name in args.only or GROUPS:
        for group in GROUPS[name](files):
            results = run_group(group, most_runs)
            sections.append(f"## {group.title}\n\n{group.text}{results_table(list(results.values()))}")
            targets += group.targets(results)
        minutes = (time.monotonic() - started) / 60
        print(f"  {minutes:.1f} minutes since the start", flush=True)  # noqa: T201
        page = "\n\n".join([introduction(commit, minutes), targets_table(targets), *sections]) + "\n"
        if not (args.quick or args.only):
            RESULTS.write_text(page)
    if args.quick or args.only:
        print(page)  # noqa: T201
    else:
        update_pages()


if __name__ == "__main__":
    main()
