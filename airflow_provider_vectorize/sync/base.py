"""What a run starts from: the index, the committed state, the pending logs, and all known IDs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Index
from airflow_provider_vectorize.quantities import format_time, pluralize
from airflow_provider_vectorize.rows.hashing import HASH_VERSION, UNKNOWN
from airflow_provider_vectorize.sources.source_object import SourceObject
from airflow_provider_vectorize.sync.columns import load_table
from airflow_provider_vectorize.sync.decisions import (
    Basis,
    Identity,
    choose_basis,
    is_trusted,
    knows_hashes,
    may_skip,
    reusable_versions,
)
from airflow_provider_vectorize.sync.folder import StateFolder
from airflow_provider_vectorize.sync.log import PendingLog, read_pending
from airflow_provider_vectorize.sync.options import SyncOptions
from airflow_provider_vectorize.sync.replay import replay
from airflow_provider_vectorize.sync.state import Generation, State, fingerprint, read_state
from airflow_provider_vectorize.sync.table import NO_OBJECT, IdTable

log = logging.getLogger(__name__)


@dataclass
class Base:
    """What a run starts from.

    :param index: The index.
    :param identity: What a state has to belong to.
    :param state: The committed state, or ``None``.
    :param basis: What the run may assume about the index.
    :param pending: The logs of runs that died.
    :param table: All known IDs.
    :param known_hashes: Whether the hashes of the state describe the index.
    :param known: Number of known IDs.
    :param opened: Numbers of objects that have to be opened because of pending logs.
    :param replayed: Whether acknowledged records of a pending log count.
    """

    index: Index
    identity: Identity
    state: State | None
    basis: Basis
    pending: PendingLog
    table: IdTable
    known_hashes: bool
    known: int = 0
    opened: set[int] = field(default_factory=set)
    replayed: bool = False

    @property
    def generation(self) -> Generation | None:
        """Return the generation on which the run is based."""
        return self.state.generation if self.state else None

    @property
    def spent(self) -> Sequence[str]:
        """Return the plans that were approved and carried out."""
        return self.state.spent if self.state else ()

    @property
    def knows_content(self) -> bool:
        """Return whether the content of any vector in the index is known. Otherwise every row is sent."""
        return bool(np.any(self.table.hashes))

    @property
    def pending_ids(self) -> set[str]:
        """Return the IDs of pending logs."""
        return {
            vector_id for records in self.pending.records.values() for record in records for vector_id in record.ids
        }

    def stored_versions(self, objects: Sequence[SourceObject], options: SyncOptions) -> list[str | None]:
        """Return for each object the version that the state has seen completely, or ``None``."""
        same_parameters = self.state is not None and self.state.parameters == self.identity.parameters
        return reusable_versions(
            self.state,
            [source_object.uri for source_object in objects],
            same_parameters=same_parameters and self.known_hashes,
            basis=self.basis,
            reconcile=options.reconcile,
        )

    def skipped(self, objects: Sequence[SourceObject], options: SyncOptions) -> np.ndarray:
        """Return for each object whether it is skipped, and at the end ``False`` for :data:`NO_OBJECT`."""
        opened = self.opened | self.table.unknown_objects()
        versions = self.stored_versions(objects, options)
        skipped = [
            number not in opened and may_skip(versions[number], source_object.version)
            for number, source_object in enumerate(objects)
        ]
        return np.array([*skipped, False])


def identify(client: VectorizeClient, index: Index, options: SyncOptions) -> Identity:
    """Return what a state of this sync has to belong to."""
    return Identity(
        account=client.credentials.account_id,
        index_name=index.name,
        created_on=created_on(index),
        parameters=fingerprint({
            "changed_by": options.changed_by,
            "fields": repr(options.load.fields),
            **options.parameters,
        }),
        changed_by=options.changed_by,
        hash_version=HASH_VERSION,
    )


def created_on(index: Index) -> str:
    """Return the creation time of an index as text."""
    return index.created_on.isoformat() if index.created_on else ""


def check_folder(client: VectorizeClient, folder: StateFolder, identity: Identity) -> None:
    """Check that the folder belongs to this sync, before the run claims it.

    :raises ConfigError: It belongs to a sync of another index.
    :raises SourceError: It cannot be read.
    """
    choose_basis(read_state(folder), identity, False, folder.uri)


def load_base(
    client: VectorizeClient,
    index: Index,
    identity: Identity,
    folder: StateFolder,
    objects: Sequence[SourceObject],
    options: SyncOptions,
) -> Base:
    """Read the state and the pending logs, and return what the run starts from.

    :raises SourceError: The state cannot be read or is damaged.
    """
    state, pending = _read_state_and_logs(folder)
    has_vectors = state is None and client.get_index_info(index.name).vector_count > 0
    basis = choose_basis(state, identity, has_vectors, folder.uri)
    known_hashes = state is not None and knows_hashes(state, identity, basis, reconcile=options.reconcile)
    table = IdTable()
    numbers = {source_object.uri: number for number, source_object in enumerate(objects)}
    # This sync has written nothing to an index that was created again, except for what pending logs name. Another
    # writer may have used the other IDs there, so they are forgotten.
    if state is not None and basis == "state":
        new_numbers = [*(numbers.get(known.uri, NO_OBJECT) for known in state.objects), NO_OBJECT]
        load_table(folder, state.columns, table, np.array(new_numbers, np.int32))
        if not known_hashes:
            table.hashes[:] = UNKNOWN
    base = Base(index, identity, state, basis, pending, table, known_hashes)
    if pending.records:
        trusted = not options.reconcile and is_trusted(
            pending.records, base.generation, identity.created_on, identity.parameters
        )
        base.opened = replay(table, pending.records, numbers, trusted=trusted)
        base.replayed = trusted
        _log_pending(pending, trusted=trusted)
    base.known = len(table)
    _log_basis(base, folder, reconcile=options.reconcile)
    return base


def _read_state_and_logs(folder: StateFolder) -> tuple[State | None, PendingLog]:
    """Read the committed state and the logs that it has not absorbed.

    The run that owned the folder before may have passed its last check, so that its commit arrives between the two
    reads and removes its log. Then both are read again.
    """
    while True:
        state = read_state(folder)
        pending = read_pending(folder, state.absorbed if state else {})
        again = read_state(folder)
        if (again and again.generation) == (state and state.generation):
            return state, pending


def _log_pending(pending: PendingLog, *, trusted: bool) -> None:
    runs = pluralize(len(pending.records), "earlier run")
    records = pluralize(sum(map(len, pending.records.values())), "request")
    log.warning(
        "Found the log of %s that did not finish (%s). %s",
        runs,
        records,
        "What Vectorize acknowledged of it counts. All other vectors in it are sent again."
        if trusted
        else "All vectors in it are sent again.",
    )


def _log_basis(base: Base, folder: StateFolder, *, reconcile: bool) -> None:
    name = base.index.name
    if base.state is None and base.basis == "first":
        log.info('Found no state in %s, and index "%s" is empty. This is the first sync.', folder.uri, name)
    elif base.state is None:
        log.warning(
            'Found no state in %s, but index "%s" has vectors. They stay in the index unless a row has their ID. If '
            "this is not the first sync, check the name of the state folder.",
            folder.uri,
            name,
        )
    elif base.basis == "baseline":
        log.warning(
            'Index "%s" was deleted and created again since the last sync (created %s, before %s). Every row is sent, '
            "and nothing is deleted in this run.",
            name,
            format_time(base.identity.created_on),
            format_time(base.state.created_on),
        )
    else:
        log.info(
            "Read generation %d of the state in %s, committed %s: %s.",
            base.state.generation.number,
            folder.uri,
            format_time(base.state.committed_at),
            pluralize(base.known, "known vector"),
        )
        if reason := _reason_to_open(base.state, base.identity, reconcile=reconcile):
            log.info("%s", reason)


def _reason_to_open(state: State, identity: Identity, *, reconcile: bool) -> str:
    """Return why the sync opens objects that have not changed, or an empty text."""
    if reconcile:
        return "Every row is sent again, because reconcile is on."
    if state.changed_by != identity.changed_by:
        return f"Every row is sent again, because changed_by was {state.changed_by} and is {identity.changed_by} now."
    if state.hash_version != identity.hash_version:
        return "Every row is sent again, because this version of the provider compares rows in another way."
    if state.parameters != identity.parameters:
        return "Every object is opened, because fields or another parameter that shapes rows has changed."
    return ""
