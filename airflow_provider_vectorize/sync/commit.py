"""Commit a generation: the columns first, then ``current.json`` in one write, then remove what it has absorbed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_vectorize.errors import SyncError, SyncTakenOverError
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.sync.base import Base
from airflow_provider_vectorize.sync.comparison import Comparison
from airflow_provider_vectorize.sync.deletes import vanished
from airflow_provider_vectorize.sync.folder import CURRENT, Owner, Probe, StateFolder, write_json
from airflow_provider_vectorize.sync.log import record_name
from airflow_provider_vectorize.sync.plans import remove_old_plans
from airflow_provider_vectorize.sync.result import SyncResult
from airflow_provider_vectorize.sync.state import (
    GENERATIONS,
    ColumnsFile,
    Generation,
    ObjectState,
    State,
    as_ranges,
    generation_number,
    read_state,
)
from airflow_provider_vectorize.sync.table import DELETED, NO_OBJECT, SENT

log = logging.getLogger(__name__)

#: Numbers of log records by run.
PendingNumbers = Mapping[str, Sequence[int]]
NO_COLUMNS = ColumnsFile("", 0, 0, "")


def check_generation(folder: StateFolder, base: Generation | None) -> None:
    """Check that no other run has committed a generation since this run started.

    :raises SyncTakenOverError: Another run has.
    """
    state = read_state(folder)
    found = state.generation if state else None
    if found != base:
        raise SyncTakenOverError(
            f"Another run has committed generation {found} to {folder.uri} since this run started on generation "
            f"{base}. This run commits nothing. Its log is kept, and the next run sends again what it cannot trust. "
            "Set max_active_runs=1.",
            run=found.run if found else "",
        )


def check_incarnation(found: str, expected: str, index_name: str) -> None:
    """Check that the index was not re-created during the run.

    :raises SyncError: It was.
    """
    if found != expected:
        raise SyncError(
            f'Index "{index_name}" was deleted and created again during the sync (created {expected}, now {found}), so '
            "a part of what was sent is lost. Nothing was committed. Run the sync again: it sends every row.",
            permanent=False,
        )


def write_current(
    folder: StateFolder,
    owner: Owner,
    state: State,
    base: Generation | None,
    read_created_on: Callable[[], str],
    probe: Probe = lambda event: None,
) -> None:
    """Make a generation the current one.

    :param read_created_on: Reads the creation time of the index.
    :param probe: Called before the checks, because nothing may come between them and the write.
    :raises SyncTakenOverError: Another run has claimed the folder, or committed a generation.
    :raises SyncError: The index was created again during the run.
    """
    write_json(folder, f"{GENERATIONS}{state.generation}.json", state.to_dict())
    probe(f"before write {CURRENT}")
    check_incarnation(read_created_on(), state.created_on, state.index_name)
    owner.check()
    check_generation(folder, base)
    write_json(folder, CURRENT, state.to_dict())
    ids = pluralize(state.columns.ids, "ID")
    log.info("Committed generation %d with %s to %s.", state.generation.number, ids, folder.uri)


def clean_up(folder: StateFolder, state: State, before: State | None, records: Iterable[str]) -> None:
    """Remove what the committed generation has absorbed: log records, older generations and spent plans.

    Two generations are kept. A run that dies in here leaves files behind that the next commit removes.

    :param records: Names of the absorbed log records.
    """
    for name in records:
        folder.delete(name)
    kept = {state.columns.name} | ({before.columns.name} if before else set())
    for name in sorted(folder.list(GENERATIONS)):
        number = generation_number(name)
        if number is not None and number < state.generation.number - 1 and name not in kept:
            folder.delete(name)
    remove_old_plans(folder, state.spent)


def next_state(base: Base, comparison: Comparison, result: SyncResult, run_id: str, records: PendingNumbers) -> State:
    """Return the next generation, with the columns of the last one or with no columns yet.

    :param records: The log records that it absorbs, by run.
    """
    before = base.state
    number = before.generation.number + 1 if before else 1
    last = before.last_mutation if before and base.basis == "state" else None
    return State(
        generation=Generation(number, run_id),
        account=base.identity.account,
        index_name=base.identity.index_name,
        created_on=base.identity.created_on,
        dimensions=base.index.config.dimensions,
        metric=base.index.config.metric,
        parameters=base.identity.parameters,
        changed_by=base.identity.changed_by,
        objects=object_states(base, comparison),
        columns=before.columns if before else NO_COLUMNS,
        hash_version=base.identity.hash_version,
        absorbed={run: as_ranges(numbers) for run, numbers in records.items() if numbers},
        spent=before.spent if before else (),
        last_mutation=_last_mutation(result) or last,
        counts=result.counts,
        committed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        before=str(before.generation) if before else "",
    )


def _last_mutation(result: SyncResult) -> dict[str, Any] | None:
    if not result.mutation_id:
        return None
    plain = result.to_dict()
    return {name: plain[name] for name in ("mutation_id", "index_name", "accepted_at", "created_on", "sealed")}


def object_states(base: Base, comparison: Comparison) -> tuple[ObjectState, ...]:
    """Return the objects of the source, each with its version if the next run may skip it."""
    stored = {known.uri: known for known in base.state.objects} if base.state else {}
    findings = comparison.findings
    states = []
    for number, source_object in enumerate(comparison.objects):
        known = stored.get(source_object.uri)
        rows = findings.rows_read.get(number, known.rows if known else 0)
        # An empty object is opened again, so that a source without rows deletes nothing in the next run either.
        version = source_object.version if rows and findings.is_complete(number) else None
        states.append(ObjectState(source_object.uri, version, rows))
    return tuple(states)


def columns_changed(base: Base, comparison: Comparison) -> bool:
    """Return whether the IDs, hashes or objects differ from those of the last generation."""
    state, table = base.state, base.table
    uris = [source_object.uri for source_object in comparison.objects]
    if state is None or not base.known_hashes or base.pending.records or [known.uri for known in state.objects] != uris:
        return True
    has_left = vanished(table, comparison.skipped)
    return (
        comparison.findings.moved
        or len(table) != table.state_ids
        or next(table.where(lambda chunk: table.flags[chunk] & (SENT | DELETED) != 0), None) is not None
        or next(table.where(lambda chunk: has_left(chunk) & (table.objects[chunk] != NO_OBJECT)), None) is not None
    )


def says_the_same(state: State, before: State | None) -> bool:
    """Return whether a state has the same objects and plans as the one before, so that it need not be committed."""
    return before is not None and (state.objects, state.spent, state.parameters, state.last_mutation) == (
        before.objects,
        before.spent,
        before.parameters,
        before.last_mutation,
    )


def record_names(numbers: PendingNumbers) -> list[str]:
    """Return the names of log records."""
    return [record_name(run, number) for run, run_numbers in numbers.items() for number in run_numbers]
