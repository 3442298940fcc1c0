"""Plans that a person can approve: a list of deletions, or the permission to change most vectors."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Iterable, Iterator

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.bodies import open_temporary_file
from airflow_provider_vectorize.sync.folder import StateFolder, damaged

log = logging.getLogger(__name__)

#: Number of plans that are kept.
KEPT_PLANS = 30
_BUFFER_BYTES = 1 << 20
_DELETIONS, _CHANGES = ".ids.gz", ".changes.json"


def deletions_name(plan: str) -> str:
    """Return the name of the file with the IDs that a plan deletes."""
    return f"plan-{plan}{_DELETIONS}"


def changes_name(plan: str) -> str:
    """Return the name of the file of a plan that changes most vectors."""
    return f"plan-{plan}{_CHANGES}"


def write_ids(folder: StateFolder, name: str, ids: Iterable[str]) -> int:
    """Write IDs to a compressed file, each as ``{"id": "…"}`` on a line of its own, and return their number."""
    count = 0
    with open_temporary_file(_BUFFER_BYTES) as file:
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as compressed:
            for vector_id in ids:
                compressed.write(json.dumps({"id": vector_id}).encode() + b"\n")
                count += 1
        file.seek(0)
        folder.write(name, file)
    return count


def read_ids(folder: StateFolder, name: str) -> Iterator[str]:
    """Yield the IDs of a file that :func:`write_ids` wrote.

    :raises SourceError: The file is missing or damaged.
    """
    with open_temporary_file(_BUFFER_BYTES) as file:
        if not folder.download(name, file):
            raise damaged(folder, name, "it is missing")
        if not file.tell():  # An empty file is valid gzip.
            raise damaged(folder, name, "it is empty")
        file.seek(0)
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as compressed:
                for line in compressed:
                    yield json.loads(line)["id"]
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder, name, f"it is not a list of IDs ({error})") from error


def kind_of_plan(folder: StateFolder, plan: str | None, spent: Iterable[str]) -> str:
    """Return ``deletions``, ``changes``, or an empty text if no plan is approved or the plan is spent.

    :raises ConfigError: There is no such plan.
    """
    if not plan:
        return ""
    if plan in spent:
        log.info("Plan %s is spent, so its approval has no effect.", plan)
        return ""
    if "/" not in plan:
        if folder.read(changes_name(plan)) is not None:
            return "changes"
        if deletions_name(plan) in folder.list(""):
            return "deletions"
    raise ConfigError(
        f"There is no plan {plan!r} in {folder.uri}, so nothing can be approved and nothing was sent. Pass the plan ID "
        "from the log of the run that withheld the deletions, or approve=None."
    )


def unspent_plans(folder: StateFolder, spent: Iterable[str]) -> list[str]:
    """Return the IDs of the plans that can be approved."""
    return sorted(set(_plans(folder).values()) - set(spent))


def _plans(folder: StateFolder) -> dict[str, str]:
    """Return the ID of each plan by the name of its file."""
    return {
        name: name.removeprefix("plan-").removesuffix(suffix)
        for name in folder.list("")
        for suffix in (_DELETIONS, _CHANGES)
        if name.startswith("plan-") and name.endswith(suffix)
    }


def remove_old_plans(folder: StateFolder, spent: Iterable[str]) -> None:
    """Delete the files of spent plans, and of the oldest ones if there are many."""
    plans, spent = _plans(folder), set(spent)
    unspent = sorted((name for name in plans if plans[name] not in spent), key=lambda name: _number(plans[name]))
    for name in [*(name for name in plans if plans[name] in spent), *unspent[:-KEPT_PLANS]]:
        folder.delete(name)


def _number(plan: str) -> int:
    number = plan.partition("-")[0]
    return int(number) if number.isdigit() else 0
