"""Show the state of a sync: ``python -m airflow_provider_vectorize.state show|ids|diff URI``. Changes nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from airflow_provider_vectorize import storage
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.sync import summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        folder = storage.StoredFolder(options.uri, options.conn_id)
        _print(_lines(folder, options))
    except VectorizeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except BrokenPipeError:  # For instance, the output goes to head.
        sys.stderr.close()
    return 0


def _lines(folder: storage.StoredFolder, options: argparse.Namespace) -> Iterable[str]:
    if options.command == "show":
        return summary.summarize(folder)
    if options.command == "ids":
        return summary.list_ids(folder, unknown=options.unknown, vanished=options.vanished)
    return summary.diff(folder)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m airflow_provider_vectorize.state", description="Show the state of a sync. Nothing is changed."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="describe the state, its objects, its plans and pending logs")
    ids = commands.add_parser("ids", help="list the IDs, one on each line")
    ids.add_argument("--unknown", action="store_true", help="only IDs whose content in the index is not known")
    ids.add_argument("--vanished", action="store_true", help="only IDs that have left the source")
    diff = commands.add_parser("diff", help="list what the last commit changed: + added, - deleted, ~ changed")
    for command in (show, ids, diff):
        command.add_argument("uri", help="the state folder, such as s3://bucket/vectorize-state/docs")
        command.add_argument("--conn-id", help="Airflow connection of the storage, unless the URI names one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
