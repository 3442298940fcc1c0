"""The operator that syncs an index with a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider_vectorize.airflow_support.task_state import run_identity
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.models import UnparsableBehavior
from airflow_provider_vectorize.errors import SyncError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.links.load import STATE_LINK, VectorizeSyncStateLink, folder_url
from airflow_provider_vectorize.load.options import OnBadRow
from airflow_provider_vectorize.operators.source_task import SourceTask
from airflow_provider_vectorize.parameters import Check
from airflow_provider_vectorize.rows.row_processes import Processes
from airflow_provider_vectorize.rows.validation import Float32Text
from airflow_provider_vectorize.sources.formats import FormatSetting
from airflow_provider_vectorize.sync.options import SYNC_CHECKS

#: XCom keys that are pushed if the task fails: the plan that can be approved, the counts, and the message.
PLAN, RESULT, PROBLEM = "plan", "sync_result", "problem"


class VectorizeSyncOperator(SourceTask, BaseOperator):
    """Sync an index with a source: send only the rows that changed, and delete the vectors that left the source.

    The source is the whole corpus, not a delta. The sync keeps a state in a folder in storage: the IDs that it has
    written, and a hash of each. After the task and a ``VectorizeMutationSensor`` for its output, every vector of the
    source is in the index as the source has it, vectors that left the source are gone (with ``delete_vanished``), and
    nothing that another writer wrote was touched. Needs the extra ``sync``.

    A retry continues from the log of the attempt before. If two attempts run at once, the later one takes over.

    If more vectors left the source than ``max_deletes`` allows, everything else is written, the deletions are withheld,
    and the task fails without retries, in every run until a person approves the plan that the message names. The ID of
    the plan is also pushed to XCom with the key ``plan``, the counts with the key ``sync_result``, and the message of
    the failure with the key ``problem``, so that an ``ApprovalOperator`` can show it, see the example DAG
    ``nightly_sync``.

    Returns the receipt of a load, and ``added``, ``changed``, ``unchanged``, ``vanished``, ``deleted``, ``withheld``,
    ``unknown``, ``duplicates``, ``foreign``, ``objects_skipped``, ``rows_read``, ``generation`` and ``plan``. If
    nothing was sent, ``mutation_id`` is ``None``, and the sensor succeeds at once. Each key is also pushed to XCom
    separately.

    If the ``outlets`` contain the asset ``vectorize://<account id>/<index name>``, its event carries the result.
    OpenLineage receives the objects, and the index with the counts, also if deletions were withheld. The task links to
    the folder of its state if its store has a console.

    :param index_name: Name of an existing index. (templated)
    :param source: A URI, a path, a glob, or a list of them, as for ``VectorizeUpsertOperator``. Objects whose version
        has not changed are not opened. (templated)
    :param state: URI or path of a folder that belongs to this sync alone. Several syncs may share an index, each with
        a state of its own. (templated)
    :param delete_vanished: Delete vectors that this sync wrote and that have left the source. Off by default.
        (templated)
    :param max_deletes: The brake: a share of the known IDs from 0.0 to 1.0, or a whole number of IDs. 20 IDs or fewer
        always pass. Default: 0.1. (templated)
    :param approve: ID of a plan that is approved. It releases exactly the deletions of that plan, once. (templated)
    :param changed_by: ``row`` compares values, namespace and metadata. ``metadata.<key>`` compares only this key, for
        embedding models that return slightly different values for the same text. (templated)
    :param reconcile: Send every row again, and repair whatever differs in the index. (templated)
    :param report_foreign: List the index afterwards, and write the IDs that this sync does not know to a file. They
        are never deleted. (templated)
    :param dry_run: Compare and count, but write nothing. (templated)
    :param source_conn_id: Connection of the storage of source and state, unless they name one. (templated)
    :param float32_text: As for ``VectorizeUpsertOperator``. (templated)
    :param unparsable_behavior: As for ``VectorizeUpsertOperator``. (templated)
    :param on_bad_row: As for ``VectorizeUpsertOperator``. A bad row never deletes the vector with its ID. (templated)
    :param dead_letter_path: As for ``VectorizeUpsertOperator``. (templated)
    :param max_bad_rows: As for ``VectorizeUpsertOperator``. (templated)
    :param max_in_flight: As for ``VectorizeUpsertOperator``. (templated)
    :param processes: As for ``VectorizeUpsertOperator``. (templated)
    :param format: As for ``VectorizeUpsertOperator``. (templated)
    :param fields: As for ``VectorizeUpsertOperator``. (templated)
    :param collect_checks: As for ``VectorizeUpsertOperator``. Objects that are not opened are not part of it.
        (templated)
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises SyncError: Deletions were withheld, most vectors changed, the index is not what the state says, or another
        run took over. The message says what was written and what to do.
    :raises SourceError: The state or an object cannot be read, or there are no rows.
    :raises BadRowError: A row cannot be loaded. The error names its object, line and byte.
    :raises ApiError: A request failed.
    """

    template_fields: Sequence[str] = (
        "index_name",
        "source",
        "state",
        "delete_vanished",
        "max_deletes",
        "approve",
        "changed_by",
        "reconcile",
        "report_foreign",
        "dry_run",
        "source_conn_id",
        "float32_text",
        "unparsable_behavior",
        "on_bad_row",
        "dead_letter_path",
        "max_bad_rows",
        "max_in_flight",
        "processes",
        "format",
        "fields",
        "collect_checks",
        "vectorize_conn_id",
    )
    parameter_checks: ClassVar[Mapping[str, Check]] = SYNC_CHECKS
    operator_extra_links = (*SourceTask.operator_extra_links, VectorizeSyncStateLink())

    def __init__(
        self,
        *,
        index_name: str,
        source: str | Sequence[str],
        state: str,
        delete_vanished: bool = False,
        max_deletes: float | int = 0.1,
        approve: str | None = None,
        changed_by: str = "row",
        reconcile: bool = False,
        report_foreign: bool = False,
        dry_run: bool = False,
        source_conn_id: str | None = None,
        float32_text: Float32Text = "auto",
        unparsable_behavior: UnparsableBehavior = "error",
        on_bad_row: OnBadRow = "fail",
        dead_letter_path: str | None = None,
        max_bad_rows: int = 1_000,
        max_in_flight: int = 4,
        processes: Processes = "auto",
        format: FormatSetting = "auto",
        fields: Mapping[str, Any] | None = None,
        collect_checks: str | None = None,
        limits: Limits = LIMITS,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.index_name = index_name
        self.source = source
        self.state = state
        self.delete_vanished = delete_vanished
        self.max_deletes = max_deletes
        self.approve = approve
        self.changed_by = changed_by
        self.reconcile = reconcile
        self.report_foreign = report_foreign
        self.dry_run = dry_run
        self.source_conn_id = source_conn_id
        self.float32_text = float32_text
        self.unparsable_behavior = unparsable_behavior
        self.on_bad_row = on_bad_row
        self.dead_letter_path = dead_letter_path
        self.max_bad_rows = max_bad_rows
        self.max_in_flight = max_in_flight
        self.processes = processes
        self.format = format
        self.fields = fields
        self.collect_checks = collect_checks
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Sync the index with the source, and return the result."""
        with self.checked_execution(context):
            if self._pushes_to_xcom(context):
                context["ti"].xcom_push(key=STATE_LINK, value=folder_url(self.state))
            try:
                result = self._sync(self._open_hook(context), context)
            except SyncError as error:
                if self._pushes_to_xcom(context):
                    self._push_failure(error, context["ti"])
                self._publish(context)
                raise
        self._publish(context)
        return result

    @staticmethod
    def _push_failure(error: SyncError, task_instance: Any) -> None:
        if error.plan:
            task_instance.xcom_push(key=PLAN, value=error.plan)
        if error.result is not None:
            task_instance.xcom_push(key=RESULT, value=error.result)
        task_instance.xcom_push(key=PROBLEM, value=str(error))

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return what the task wrote before it failed, for instance because deletions were withheld."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def _sync(self, hook: VectorizeHook, context: Context) -> dict[str, Any]:
        names = set(self.template_fields) - {"vectorize_conn_id"}
        return hook.sync(
            **{name: getattr(self, name) for name in names},
            identity=run_identity(context) if "ti" in context else None,
        )
