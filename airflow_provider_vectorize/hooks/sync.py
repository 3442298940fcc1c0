"""Sync an index with a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_vectorize import parameters, storage
from airflow_provider_vectorize.airflow_support import lineage
from airflow_provider_vectorize.airflow_support.metrics import LoadMetrics, report_sync
from airflow_provider_vectorize.airflow_support.task_state import run_name
from airflow_provider_vectorize.api import models
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.errors import SyncError
from airflow_provider_vectorize.hooks.collecting import open_checks
from airflow_provider_vectorize.hooks.connection import (
    ConnectionSettings,
    build_client,
    build_monitor,
    read_connection,
)
from airflow_provider_vectorize.hooks.loads import Loads
from airflow_provider_vectorize.hooks.sources import find_objects, open_dead_letter_file, start_message
from airflow_provider_vectorize.load import spans
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.options import LoadOptions, OnBadRow
from airflow_provider_vectorize.load.progress import LastProgress
from airflow_provider_vectorize.rows import function_rows
from airflow_provider_vectorize.rows.row_processes import Processes
from airflow_provider_vectorize.rows.validation import Float32Text
from airflow_provider_vectorize.sources.formats import FormatSetting
from airflow_provider_vectorize.sync.options import SYNC_CHECKS, SyncOptions
from airflow_provider_vectorize.sync.result import COUNTS, SyncResult
from airflow_provider_vectorize.sync.run import SyncRun


class Syncs(Loads):
    """The method of the hook that syncs an index with a source."""

    _sync_clients: list[VectorizeClient]

    def sync(
        self,
        index_name: str,
        source: str | Sequence[str],
        state: str,
        *,
        delete_vanished: bool = False,
        max_deletes: float | int = 0.1,
        approve: str | None = None,
        changed_by: str = "row",
        reconcile: bool = False,
        report_foreign: bool = False,
        dry_run: bool = False,
        source_conn_id: str | None = None,
        float32_text: Float32Text = "auto",
        unparsable_behavior: models.UnparsableBehavior = "error",
        on_bad_row: OnBadRow = "fail",
        dead_letter_path: str | None = None,
        max_bad_rows: int = 1_000,
        max_in_flight: int = 4,
        processes: Processes = "auto",
        format: FormatSetting = "auto",
        fields: Mapping[str, Any] | None = None,
        collect_checks: str | None = None,
        identity: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send the rows of a source that changed since the last sync, and delete the vectors that left it.

        The source is the whole corpus, not a delta. The sync keeps a state in storage: the IDs that it has written, and
        a hash of each. After a sync and a ``VectorizeMutationSensor`` for its result, every vector of the source is in
        the index as the source has it, vectors that left the source are gone (with ``delete_vanished``), and nothing
        that another writer wrote was touched. Needs the extra ``sync``.

        :param index_name: Name of an existing index.
        :param source: As for :meth:`load`. Objects whose version (size and ETag or modification time) has not changed
            are not opened.
        :param state: URI or path of a folder that belongs to this sync alone. Several syncs may share an index, each
            with a state of its own.
        :param delete_vanished: Delete vectors that this sync wrote and that have left the source. Off by default.
        :param max_deletes: The brake: if more IDs have left the source, they are not deleted, and the sync fails after
            it has written everything else. A share of the known IDs from 0.0 to 1.0, or a whole number. 20 IDs or fewer
            always pass. Default: 0.1.
        :param approve: ID of a plan, from the message of a sync that withheld deletions or stopped. It releases exactly
            the deletions of that plan, once.
        :param changed_by: ``row`` compares values, namespace and metadata. ``metadata.<key>`` compares only this key,
            for embedding models that return slightly different values for the same text.
        :param reconcile: Send every row again, and repair whatever differs in the index.
        :param report_foreign: List the index afterwards, and write the IDs that this sync does not know to a file. They
            are never deleted.
        :param dry_run: Compare and count, but write nothing.
        :param source_conn_id: Connection of the storage of source and state, unless they name one.
        :param float32_text: As for :meth:`load`.
        :param unparsable_behavior: As for :meth:`load`.
        :param on_bad_row: As for :meth:`load`. A bad row never deletes the vector with its ID.
        :param dead_letter_path: As for :meth:`load`.
        :param max_bad_rows: As for :meth:`load`.
        :param max_in_flight: As for :meth:`load`.
        :param processes: As for :meth:`load`.
        :param format: As for :meth:`load`.
        :param fields: As for :meth:`load`.
        :param collect_checks: As for :meth:`load`. Objects that are not opened are not part of it.
        :param identity: Names and values that identify the run, for the dead-letter file and ``owner.json``.
        :return: The receipt of a load, and ``added``, ``changed``, ``unchanged``, ``vanished``, ``deleted``,
            ``withheld``, ``unknown``, ``duplicates``, ``foreign``, ``objects_skipped``, ``rows_read``, ``generation``
            and ``plan``. If nothing was sent, ``mutation_id`` is ``None``, and the sensor succeeds at once.
        :raises SyncError: Deletions were withheld, most vectors changed, the index is not what the state says, or
            another run took over. The message says what was written and what to do.
        :raises SourceError: The state or an object cannot be read, or there are no rows.
        :raises BadRowError: A row cannot be loaded.
        :raises ApiError: A request failed. A retry continues from the log of this run.
        """
        index_name = parameters.text("index_name", index_name)
        source = parameters.paths("source", source)
        conn_id = parameters.optional(parameters.text, empty_is_none=True)("source_conn_id", source_conn_id)
        dead_letter_path = parameters.optional(parameters.path)("dead_letter_path", dead_letter_path)
        settings = parameters.check_values(
            SYNC_CHECKS,
            state=state,
            delete_vanished=delete_vanished,
            max_deletes=max_deletes,
            approve=approve,
            changed_by=changed_by,
            reconcile=reconcile,
            report_foreign=report_foreign,
            dry_run=dry_run,
            float32_text=float32_text,
            unparsable_behavior=unparsable_behavior,
            on_bad_row=on_bad_row,
            max_bad_rows=max_bad_rows,
            max_in_flight=max_in_flight,
            processes=processes,
            format=format,
            fields=fields,
            limits=self.limits,
        )
        folder = storage.StoredFolder(settings.pop("state"), conn_id)
        dead_letter_file = open_dead_letter_file(settings.pop("on_bad_row"), dead_letter_path, conn_id)
        checks = open_checks(None if settings["dry_run"] else collect_checks, conn_id)
        stored_objects = find_objects(source, conn_id, dead_letter_file, checks.file if checks else None)
        folder.check_outside_source(stored_objects, source, conn_id)
        dead_letters = DeadLetters(dead_letter_file, run_name(identity)) if dead_letter_file else None
        load_names = (
            "float32_text",
            "unparsable_behavior",
            "max_bad_rows",
            "max_in_flight",
            "processes",
            "limits",
            "format",
            "fields",
        )
        load = LoadOptions(
            **{name: settings.pop(name) for name in load_names},
            dead_letters=dead_letters,
            collector=checks.collector if checks else None,
        )
        connection_settings = read_connection(self.connection())
        self._sync_clients = []
        objects = function_rows.with_function_names(stored_objects)
        action = "Comparing" if dry_run else "Syncing"
        self.log.info("%s", start_message(f'{action} index "{index_name}" with %s', objects))
        observer = LastProgress(LoadMetrics(index_name))
        sync_run = SyncRun(
            lambda: self._open_sync_client(connection_settings),
            lambda: build_monitor(connection_settings, index_name),
            index_name,
            objects,
            folder,
            SyncOptions(**settings, load=load),
            observer=observer,
            details=dict(identity or {}),
        )
        if not dry_run:
            self._about_to_write(index_name)
        try:
            result = _run_in_span(sync_run, index_name, len(objects))
        except BaseException as error:
            written = SyncResult.from_dict(error.result) if isinstance(error, SyncError) and error.result else None
            if written:
                self._report_sync(sync_run, written, stored_objects, dead_letter_file)
            elif observer.last and sync_run.index and not dry_run:
                account_id, acknowledged = self._sync_clients[0].credentials.account_id, observer.last.receipt
                written_objects = (account_id, sync_run.index, stored_objects, dead_letter_file)
                self.loaded = lineage.FinishedLoad.of(*written_objects, acknowledged)
            raise
        if checks:
            result = checks.save(result)
        self._report_sync(sync_run, result, stored_objects, dead_letter_file)
        return result.to_dict()

    def _open_sync_client(self, settings: ConnectionSettings) -> VectorizeClient:
        client = build_client(settings, limits=self.limits)
        self._sync_clients.append(client)
        return client

    def _report_sync(
        self,
        sync_run: SyncRun,
        result: SyncResult,
        stored_objects: Sequence[storage.StoredObject],
        dead_letter_file: storage.DeadLetterFile | None,
    ) -> None:
        """Report a sync to Airflow's lineage and metrics. A dry run changes nothing, so it reports nothing."""
        index = sync_run.index
        if result.dry_run or index is None:
            return
        report_sync(result)
        account_id = self._sync_clients[0].credentials.account_id
        self._report_lineage(account_id, index, stored_objects, dead_letter_file, result)

    def stop(self) -> None:
        """Stop a running :meth:`load` or :meth:`sync`, which then raises. Call it from another thread or a signal."""
        super().stop()
        for client in getattr(self, "_sync_clients", ()):
            client.stop()


def _run_in_span(sync_run: SyncRun, index_name: str, objects: int) -> SyncResult:
    """Run a sync in a span of OpenTelemetry, which also has the counts of a sync that failed after its commit."""
    with spans.span("vectorize.sync", index=index_name, objects=objects) as current:
        try:
            result = sync_run.run()
        except SyncError as error:
            if error.result:
                _describe(current, SyncResult.from_dict(error.result))
            raise
        _describe(current, result)
        return result


def _describe(current: Any, result: SyncResult) -> None:
    counts = {name: getattr(result, name) for name in COUNTS}
    spans.describe(current, vectors=result.vectors, mutation_id=result.mutation_id, **counts)
