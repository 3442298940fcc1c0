"""Run a sync: the eleven steps, in order. This is the only module that performs them, and it decides nothing itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import numpy as np

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Index
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.errors import SourceError, VectorizeError
from airflow_provider_vectorize.load.bad_row_policy import BadRowPolicy
from airflow_provider_vectorize.load.checkpoint import Checkpoint, CheckpointWriter
from airflow_provider_vectorize.load.ledger import Ledger
from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.load.progress import Observer
from airflow_provider_vectorize.rows.hashing import RowHasher
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.reader import RowReader
from airflow_provider_vectorize.sources.formats import detect_format
from airflow_provider_vectorize.sources.source_object import SourceObject
from airflow_provider_vectorize.sync import commit, forecast, plans, report
from airflow_provider_vectorize.sync.base import Base, check_folder, created_on, identify, load_base
from airflow_provider_vectorize.sync.columns import write_columns
from airflow_provider_vectorize.sync.comparison import EXAMPLES, Comparison
from airflow_provider_vectorize.sync.decisions import Deletions, choose_deletions, plan_id, spends_plan
from airflow_provider_vectorize.sync.deletes import DeletionReceipt, delete_vectors, to_delete, vanished, withheld
from airflow_provider_vectorize.sync.folder import Owner, Probe, ProbedFolder, StateFolder
from airflow_provider_vectorize.sync.log import Log
from airflow_provider_vectorize.sync.options import SyncOptions
from airflow_provider_vectorize.sync.preflight import AuditOutcome, look_ahead, run_audit
from airflow_provider_vectorize.sync.progress import SyncProgressReporter
from airflow_provider_vectorize.sync.result import SyncResult
from airflow_provider_vectorize.sync.run_ids import new_run_id, now_text
from airflow_provider_vectorize.sync.state import columns_name
from airflow_provider_vectorize.sync.table import APPROVED
from airflow_provider_vectorize.sync.upload import RecordedDelivery, SyncUploader, measure
from airflow_provider_vectorize.visibility.monitor import IndexMonitor

log = logging.getLogger(__name__)


class SyncRun:
    """One run of a sync. Call :meth:`run` once.

    :param open_client: Opens a client. The run uses two, because the upload stops its own at its end.
    :param open_monitor: Opens a monitor of the index.
    :param index_name: Name of the index.
    :param objects: The source, in order.
    :param folder: The folder of the state.
    :param options: The options of the sync.
    :param observer: Called with the progress of the upload.
    :param run_id: ID of the run, which no other run has. Default: a new one.
    :param details: Who the run is, for the person who reads ``owner.json``.
    :param probe: Called before and after each step that others can see, so that tests can kill the run there.
    """

    def __init__(
        self,
        open_client: Callable[[], VectorizeClient],
        open_monitor: Callable[[], IndexMonitor],
        index_name: str,
        objects: Sequence[SourceObject],
        folder: StateFolder,
        options: SyncOptions,
        *,
        observer: Observer = lambda progress: None,
        run_id: str = "",
        details: dict[str, Any] | None = None,
        probe: Probe = lambda event: None,
    ) -> None:
        self._open_client = open_client
        self._open_monitor = open_monitor
        self._index_name = index_name
        self._objects = objects
        self._options = options
        self._observer = observer
        self._details = details or {}
        self._probe = probe
        self._folder = ProbedFolder(folder, probe)
        self.run_id = run_id or new_run_id()
        self._owner = Owner(self._folder, self.run_id)
        self._hasher = RowHasher(options.changed_by)
        self.index: Index | None = None  #: The index, after it was read.
        self._audit = AuditOutcome()
        self._plan_kind, self._spends_plan = "", False
        self._to_delete = 0
        self._cleanup = ExitStack()

    def run(self) -> SyncResult:
        """Run the sync, and return what it did.

        :raises SyncError: Deletions or all writes were withheld, the index is not what the state says, or another run
            took over.
        :raises SourceError: The state or the source cannot be read.
        :raises VectorizeError: A request failed.
        """
        if not self._objects:
            raise SourceError("The source names no objects, so nothing was sent or deleted.")
        with self._client() as client, self._cleanup:
            self._started = client.clock.now()
            self.index = index = client.get_index(self._index_name)
            self._format = detect_format(self._objects, self._options.load.format)
            # Only the beginnings of the objects are sampled, which is no work for several processes.
            sampled = LoadSource(self._objects, self._make_reader(index, processes=1))
            identity = identify(client, index, self._options)
            check_folder(client, self._folder, identity)
            if not self._options.dry_run:
                self._owner.claim({"index": index.name, "claimed_at": now_text(), **self._details})
            base = load_base(client, index, identity, self._folder, self._objects, self._options)
            try:
                with closing(base.table):
                    return self._run_from(client, base, sampled)
            except StoppedError:
                raise VectorizeError(
                    "The sync was stopped. Its log is kept, and the next run continues from it."
                ) from None

    def _client(self) -> VectorizeClient:
        client = self._open_client()
        client.before_write = self._check_before_write
        return client

    def _check_before_write(self) -> None:
        self._probe("before send")
        self._owner.check()

    def _run_from(self, client: VectorizeClient, base: Base, sampled: LoadSource) -> SyncResult:
        options, folder = self._options, self._folder
        self._plan_kind = plans.kind_of_plan(folder, options.approve, base.spent)
        if self._plan_kind == "deletions" and options.approve:
            base.table.mark(plans.read_ids(folder, plans.deletions_name(options.approve)), APPROVED)
        if base.pending.records:
            client.late.add_abandoned()
        self._audit = run_audit(client, self._open_monitor, base, self._hasher, self.run_id, dry_run=options.dry_run)
        skipped = base.skipped(self._objects, options)
        approved = self._plan_kind == "changes"
        look_ahead(client, base, sampled, skipped, self._hasher, options, folder, approved=approved)
        created, parameters = base.identity.created_on, base.identity.parameters
        write_ahead = Log(folder, self._owner, self.run_id, base.generation, created, parameters, self._probe)
        self._source = LoadSource(self._objects, self._make_reader(base.index, selective=base.knows_content))
        policy = BadRowPolicy(options.load, self._source, 0)
        is_mapped = self._format == "ndjson" and not options.load.fields.is_default
        comparison = Comparison(
            base.table,
            self._objects,
            skipped,
            self._source.reader,
            options.load.fields.id if is_mapped else ("id",),
            self._hasher,
            policy.reject_all,
            options.load.collector,
        )
        if options.load.collector:
            options.load.collector.start(base.index)
        receipt = self._send(base, comparison, policy, write_ahead)
        decision = self._decide(client, base, comparison)
        deletions = self._delete(client, base, comparison, decision, write_ahead)
        receipt = self._seal(client, base, receipt, deletions)
        plan, examples = self._save_plan(base, comparison, decision)
        result = report.result_of(receipt, base, comparison, deletions, decision, plan)
        if not options.dry_run:
            result = self._commit(client, base, comparison, result, write_ahead)
        if options.report_foreign:
            result = report.report_foreign(client, folder, base.table, result)
        report.log_end(result, comparison.findings, client.clock.now() - self._started)
        if not options.dry_run:
            report.check_outcome(result, folder, comparison, decision, examples, self._audit.problem, self._source)
        return result

    def _make_reader(self, index: Index, *, selective: bool = True, **options: Any) -> RowReader:
        load = replace(self._options.load, **options)
        reader = load.make_reader(self._format, index.config.dimensions, self._hasher, selective)
        self._cleanup.callback(reader.close)
        return reader

    def _send(self, base: Base, comparison: Comparison, policy: BadRowPolicy, write_ahead: Log) -> SyncResult:
        """Read the source, and send the rows that changed. Return when all of them are acknowledged."""
        load = self._options.load
        receipt = SyncResult(
            "upsert",
            base.index.name,
            created_on=base.identity.created_on or None,
            dead_letter_path=load.dead_letters.target.uri if load.dead_letters else None,
            dry_run=self._options.dry_run,
        )
        dead_letters = None if self._options.dry_run else load.dead_letters
        if dead_letters:
            dead_letters.start()
        with self._client() as client:
            if base.pending.records:
                client.late.add_abandoned()
            checkpoint = Checkpoint({}, ProcessedRanges(), receipt)
            ledger = Ledger(checkpoint, CheckpointWriter(None), dead_letters, self._source)
            reporter = SyncProgressReporter(client, ledger, self._source, self._observer, comparison=comparison)
            if self._options.dry_run:
                sent = measure(comparison, load.limits, ledger, reporter)
            else:
                delivery = RecordedDelivery(
                    client, "upsert", base.index.name, policy, write_ahead=write_ahead, uris=self._source.uris
                )
                sent = SyncUploader(
                    client, self._source, load, ledger, policy, delivery, reporter, comparison=comparison
                ).run()
        report.forget_refused(base.table, comparison.findings, write_ahead.refused)
        assert isinstance(sent, SyncResult)
        return sent

    def _decide(self, client: VectorizeClient, base: Base, comparison: Comparison) -> Deletions:
        """Decide which of the vectors that left the source are deleted."""
        table = base.table
        has_left = vanished(table, comparison.skipped)
        approved = table.count(lambda chunk: has_left(chunk) & (table.flags[chunk] & APPROVED != 0))
        decision = choose_deletions(
            wanted=self._options.delete_vanished,
            approved=approved,
            others=table.count(has_left) - approved,
            known=base.known,
            max_deletes=self._options.max_deletes,
            obstacles=report.obstacles(base, comparison, self._audit.problem),
        )
        self._spends_plan = spends_plan(self._plan_kind, decision, wanted=self._options.delete_vanished)
        self._to_delete = table.count(to_delete(table, comparison.skipped, decision))
        forecast.log_deletions(self._to_delete, decision, client, dry_run=self._options.dry_run)
        return decision

    def _delete(
        self, client: VectorizeClient, base: Base, comparison: Comparison, decision: Deletions, write_ahead: Log
    ) -> DeletionReceipt:
        if self._options.dry_run or not self._to_delete:
            pages = -(-self._to_delete // self._options.load.limits.ids_per_delete)
            return DeletionReceipt(self._to_delete, pages)
        condition = to_delete(base.table, comparison.skipped, decision)
        return delete_vectors(client, base.index.name, base.table, condition, self._to_delete, write_ahead)

    def _seal(self, client: VectorizeClient, base: Base, receipt: SyncResult, deletions: DeletionReceipt) -> SyncResult:
        """Return the receipt with a last mutation that stands for all others, or without any if nothing was written."""
        mutations = list(deletions.mutations)
        unproved = base.replayed or not self._audit.proved
        if not self._options.dry_run and not mutations and not receipt.sealed and (receipt.vectors or unproved):
            self._check_before_write()
            mutations.append(client.send_marker(base.index.name))
        return report.with_mutations(receipt, mutations, deletions.samples)

    def _save_plan(self, base: Base, comparison: Comparison, decision: Deletions) -> tuple[str | None, list[str]]:
        """Save the deletions that can be approved. Return the ID of the plan, and a few IDs that are not deleted."""
        if not decision.withheld:
            return None, []
        table, condition = base.table, withheld(base.table, comparison.skipped, decision)
        examples = table.ids(next(table.where(condition), np.empty(0, np.int64))[:EXAMPLES])
        if not decision.can_be_approved or self._options.dry_run:
            return None, examples
        content = f"delete {decision.withheld} {table.sum_of_keys(condition)}"
        plan = plan_id(base.generation, content, plans.unspent_plans(self._folder, base.spent))
        ids = (vector_id for positions in table.where(condition) for vector_id in table.ids(positions))
        plans.write_ids(self._folder, plans.deletions_name(plan), ids)
        return plan, examples

    def _commit(
        self, client: VectorizeClient, base: Base, comparison: Comparison, result: SyncResult, write_ahead: Log
    ) -> SyncResult:
        """Commit what was written. A run that changed nothing commits nothing."""
        absorbed = {**base.pending.numbers, self.run_id: write_ahead.numbers}
        records = commit.record_names(absorbed)
        state = commit.next_state(base, comparison, result, self.run_id, absorbed)
        if self._spends_plan and self._options.approve:
            state = replace(state, spent=(*state.spent, self._options.approve))
        if self._audit.problem or commit.columns_changed(base, comparison):
            name = columns_name(state.generation)
            columns = write_columns(self._folder, name, base.table, comparison.skipped)
            state = replace(state, columns=columns)
        elif not records and commit.says_the_same(state, base.state):
            self._owner.check()
            commit.check_generation(self._folder, base.generation)
            log.info("Nothing has changed, so generation %d stays the current one.", result.generation)
            return result
        commit.write_current(
            self._folder,
            self._owner,
            state,
            base.generation,
            lambda: created_on(client.get_index(base.index.name)),
            self._probe,
        )
        commit.clean_up(self._folder, state, base.state, records)
        return replace(result, generation=state.generation.number)
