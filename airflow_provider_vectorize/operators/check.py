"""The operator that checks an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.checks.gates import Gates
from airflow_provider_vectorize.errors import CheckError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.links.load import REPORT_LINK, VectorizeIndexLink, VectorizeReportLink, object_url
from airflow_provider_vectorize.operators.base import IndexTask
from airflow_provider_vectorize.parameters import Check, instance_of, optional

#: XCom key of the figures of a check that failed.
RESULT = "check_result"


class VectorizeCheckOperator(IndexTask, BaseOperator):
    """Check whether an index holds what was written to it, and whether its queries find it.

    The task runs all gates, and then fails with one message that names all that fell short. It sends at most 150
    requests, whatever the size of the index, and writes nothing to the index. Put it behind a
    ``VectorizeMutationSensor``. A retry checks again.

    Returns ``index_name``, ``created_on``, ``passed``, ``vector_count``, ``gates`` (by name: ``status``, ``value``,
    ``threshold``, ``at_least`` and ``text``), ``queries``, ``requests`` and ``report_path``. Each key is also pushed to
    XCom separately. If a gate fails, the same dict is pushed with the key ``check_result``.

    :param index_name: Name of the index. (templated)
    :param receipt: What a load or a sync returned, or a list of these. With ``collect_checks`` on the load, all gates
        can run. (templated)
    :param state: URI or path of the state folder of a sync. A sample of its IDs is read back. Needs the extra ``sync``.
        (templated)
    :param queries: URI or path of an ndjson object of golden queries, also ``.gz`` or ``.zst``: ``{"vector": [...],
        "expect": ["page-1"], "k": 10}``, or ``"id"`` instead of ``"vector"``. (templated)
    :param gates: The thresholds. Default: ``Gates()``.
    :param report_path: URI or path of the report, an HTML page. It replaces an earlier report. Default: none.
        (templated)
    :param source_conn_id: Connection of the storage, unless the names have one. (templated)
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises CheckError: A gate failed.
    :raises ConfigError: Nothing says what the index should hold, or the index was created again since the load.
    :raises SourceError: The state, the checks file or the golden queries cannot be read.
    :raises ApiError: A request failed.
    """

    template_fields: Sequence[str] = (
        "index_name",
        "receipt",
        "state",
        "queries",
        "report_path",
        "source_conn_id",
        "vectorize_conn_id",
    )
    parameter_checks: ClassVar[Mapping[str, Check]] = {"gates": optional(instance_of(Gates))}
    operator_extra_links = (VectorizeIndexLink(), VectorizeReportLink())
    ui_color = "#d5ecd9"
    _hook: VectorizeHook | None = None

    def __init__(
        self,
        *,
        index_name: str,
        receipt: Any = None,
        state: str | None = None,
        queries: str | None = None,
        gates: Gates | None = None,
        report_path: str | None = None,
        source_conn_id: str | None = None,
        limits: Limits = LIMITS,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.index_name = index_name
        self.receipt = receipt
        self.state = state
        self.queries = queries
        self.gates = gates
        self.report_path = report_path
        self.source_conn_id = source_conn_id
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Check the index, and return the figures of all gates."""
        with self.checked_execution(context):
            self._push(context, REPORT_LINK, "")
            self._hook = VectorizeHook(self.vectorize_conn_id, limits=self.limits, context=context)
            try:
                return self._hook.check(
                    self.index_name,
                    receipt=self.receipt,
                    state=self.state,
                    queries=self.queries,
                    gates=self.gates,
                    report_path=self.report_path,
                    source_conn_id=self.source_conn_id,
                )
            except CheckError as error:
                self._push(context, RESULT, error.result)
                raise
            finally:
                if self._hook.report:
                    self._push(context, REPORT_LINK, object_url(self._hook.report.location))

    def _push(self, context: Context, key: str, value: Any) -> None:
        if self.do_xcom_push and "ti" in context:
            context["ti"].xcom_push(key=key, value=value)

    def on_kill(self) -> None:
        """Stop the check."""
        if self._hook is not None:
            self._hook.stop()
