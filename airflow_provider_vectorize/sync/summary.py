"""Show the state of a sync to a person: what it covers, what is pending, its IDs, and what the last commit changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.quantities import format_size, pluralize
from airflow_provider_vectorize.rows.hashing import UNKNOWN
from airflow_provider_vectorize.sync.columns import read_columns
from airflow_provider_vectorize.sync.folder import OWNER, StateFolder, read_json
from airflow_provider_vectorize.sync.log import read_pending
from airflow_provider_vectorize.sync.state import GENERATIONS, State, read_state

#: Number of objects that a summary names.
_NAMED_OBJECTS = 10


def summarize(folder: StateFolder) -> list[str]:
    """Return the lines that describe a state.

    :raises SourceError: The state cannot be read or is damaged.
    """
    state = read_state(folder)
    if state is None:
        lines = [f"{folder.uri} holds no state of a sync."]
    else:
        lines = [
            f"State:       {folder.uri}",
            f'Index:       "{state.index_name}" of account {state.account}, created {state.created_on}',
            f"Generation:  {state.generation.number}, committed {state.committed_at} by run {state.generation.run}",
            f"IDs:         {state.columns.ids:,} in {state.columns.name} ({format_size(state.columns.bytes)})",
            f"Last run:    {', '.join(f'{count:,} {name}' for name, count in state.counts.items())}",
            f"Changed by:  {state.changed_by}",
            f"Last write:  {_last_write(state)}",
            *_describe_objects(state),
        ]
        if state.spent:
            lines.append(f"Spent plans: {', '.join(state.spent)}")
    plans = sorted(name for name in folder.list("") if name.startswith("plan-"))
    if plans:
        lines.append(f"Open plans:  {', '.join(plans)}")
    owner = read_json(folder, OWNER)
    if owner:
        details = "".join(f", {name} {value}" for name, value in (owner.get("details") or {}).items())
        lines.append(f"Owner:       run {owner.get('run')}{details}")
    return [*lines, *_describe_pending(folder, state)]


def _last_write(state: State) -> str:
    mutation = state.last_mutation
    return f"mutation {mutation['mutation_id']}, acknowledged {mutation.get('accepted_at')}" if mutation else "none"


def _describe_objects(state: State) -> Iterator[str]:
    reopened = [known for known in state.objects if known.version is None]
    yield (
        f"Objects:     {len(state.objects):,}, of which the next run opens {len(reopened):,} even if their version is "
        "the same"
    )
    for known in state.objects[:_NAMED_OBJECTS]:
        yield f"  {known.uri} ({pluralize(known.rows, 'row')}, version {known.version or 'not complete'})"
    if len(state.objects) > _NAMED_OBJECTS:
        yield f"  and {len(state.objects) - _NAMED_OBJECTS:,} more"


def _describe_pending(folder: StateFolder, state: State | None) -> Iterator[str]:
    pending = read_pending(folder, state.absorbed if state else {})
    for run, records in pending.records.items():
        ids = len({vector_id for record in records for vector_id in record.ids})
        yield (
            f"Pending log: run {run} did not finish, or still runs: {pluralize(len(records), 'request')} with "
            f"{pluralize(ids, 'ID')}. The next run sends again what it cannot trust."
        )


def list_ids(folder: StateFolder, *, unknown: bool = False, vanished: bool = False) -> Iterator[str]:
    """Yield the IDs of a state, each as one line.

    :param unknown: Only those whose content in the index is not known.
    :param vanished: Only those that have left the source.
    :raises ConfigError: There is no state.
    """
    state = _require(read_state(folder), folder)
    for batch in read_columns(folder, state.columns):
        columns = (batch.column(name).to_pylist() for name in ("id", "hash", "object"))
        for vector_id, content, number in zip(*columns, strict=True):
            if (not unknown or content == UNKNOWN) and (not vanished or number is None):
                yield _as_line(vector_id)


def diff(folder: StateFolder) -> Iterator[str]:
    """Yield what the last commit changed: a sign (``+`` added, ``-`` deleted, ``~`` changed) and the ID.

    Both generations are sorted by key, so this takes little memory.

    :raises ConfigError: There are no two generations.
    """
    state = _require(read_state(folder), folder)
    before = read_state(folder, f"{GENERATIONS}{state.before}.json") if state.before else None
    if before is None:
        raise ConfigError(f"{folder.uri} holds only one generation, so there is nothing to compare.")
    if before.columns == state.columns:
        return
    yield from _merge(_entries(folder, before), _entries(folder, state))


def _entries(folder: StateFolder, state: State) -> Iterator[tuple[tuple[int, str], int]]:
    for batch in read_columns(folder, state.columns):
        keys, ids, hashes = (batch.column(name).to_pylist() for name in ("key", "id", "hash"))
        yield from zip(zip(keys, ids, strict=True), hashes, strict=True)


def _merge(before: Iterator[Any], after: Iterator[Any]) -> Iterator[str]:
    """Yield the differences of two sequences of entries that are sorted by key."""
    old: Any = next(before, None)
    new: Any = next(after, None)
    while old or new:
        if old and (not new or old[0] < new[0]):
            yield f"- {_as_line(old[0][1])}"
            old = next(before, None)
        elif new and (not old or new[0] < old[0]):
            yield f"+ {_as_line(new[0][1])}"
            new = next(after, None)
        else:
            if old[1] != new[1]:
                yield f"~ {_as_line(new[0][1])}"
            old, new = next(before, None), next(after, None)


def _as_line(vector_id: str) -> str:
    """Return an ID as one line. One that has a line feed or another control character is written as JSON.

    Two lines would look like the IDs of two other vectors, which a person might then delete.
    """
    return vector_id if vector_id.isprintable() else json.dumps({"id": vector_id})


def _require(state: State | None, folder: StateFolder) -> State:
    if state is None:
        raise ConfigError(f"{folder.uri} holds no state of a sync.")
    return state
