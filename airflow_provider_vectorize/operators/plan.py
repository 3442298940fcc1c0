"""The operator that plans a load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.base import IndexTask
from airflow_provider_vectorize.parameters import Check
from airflow_provider_vectorize.plan.plan import PLAN_CHECKS
from airflow_provider_vectorize.sources.formats import FormatSetting

#: XCom key of the estimated cost.
SUMMARY = "summary"


class VectorizePlanLoadOperator(IndexTask, BaseOperator):
    """Split a large source into shards for mapped tasks and estimate the cost of loading it. Writes nothing.

    Takes a few small reads of the source and two or three requests to Vectorize, whatever the size of the source.
    Without a load, the task checks whether the source fits into the index. Before a load, pass its output to
    ``expand_kwargs``::

        plan = VectorizePlanLoadOperator(task_id="plan", index_name="docs", source="s3://…/*.ndjson", shards=16)
        load = VectorizeUpsertOperator.partial(task_id="load", index_name="docs").expand_kwargs(plan.output)

    Returns ``{"source": [...]}`` for each shard: the names of objects and parts of objects, with their connection, in
    the order of the source. Pushes the cost to XCom under the key ``summary``: ``shards``, ``objects``,
    ``stored_bytes``, ``text_bytes``, ``largest_shard_bytes``, ``vectors``, ``new_vectors``, ``room``,
    ``bytes_to_send``, ``requests``, ``budget_share``, ``processing_jobs``, ``minutes`` and ``minutes_by``. See
    :class:`~.plan.plan.Plan`.

    The order between tasks is undefined. If rows in different shards share an ID, any of them may win.

    :param index_name: Name of an existing index. (templated)
    :param source: A URI, a path, a glob, or a list of them, as for the load. (templated)
    :param shards: Maximum number of shards. A large plain object is split into parts of at least 16 MB, at the ends of
        lines. Compressed objects are not split. Parquet is split between row groups. (templated)
    :param source_conn_id: Connection of the storage, unless the source names one. (templated)
    :param mb_per_second: Measured rate of all tasks together, in MB per second. With it, ``minutes`` estimates the
        duration of the load. Without it, ``minutes`` is the minimum that the request budget allows. (templated)
    :param format: ``ndjson``, ``parquet`` or ``auto``, as for the load. Pass the same value to the load. (templated)
    :param fields: Which fields of the source become the fields of a vector, as for the load. Pass the same value to the
        load. (templated)
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises ConfigError: The index has no room for the new vectors, or the source has objects of both formats.
    :raises SourceError: An object is missing, no object matches, there are no rows, or ``fields`` fits none of those
        that were read.
    """

    template_fields: Sequence[str] = (
        "index_name",
        "source",
        "shards",
        "source_conn_id",
        "mb_per_second",
        "format",
        "fields",
        "vectorize_conn_id",
    )
    parameter_checks: ClassVar[Mapping[str, Check]] = PLAN_CHECKS
    ui_color = "#fbe0c6"

    def __init__(
        self,
        *,
        index_name: str,
        source: str | Sequence[str],
        shards: int,
        source_conn_id: str | None = None,
        mb_per_second: float | None = None,
        format: FormatSetting = "auto",
        fields: Mapping[str, Any] | None = None,
        limits: Limits = LIMITS,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.index_name = index_name
        self.source = source
        self.shards = shards
        self.source_conn_id = source_conn_id
        self.mb_per_second = mb_per_second
        self.format = format
        self.fields = fields
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Plan the load, and return the source of each shard."""
        with self.checked_execution(context):
            plan = VectorizeHook(self.vectorize_conn_id, limits=self.limits).plan(
                self.index_name,
                self.source,
                shards=self.shards,
                source_conn_id=self.source_conn_id,
                mb_per_second=self.mb_per_second,
                format=self.format,
                fields=self.fields,
            )
        if self.do_xcom_push and "ti" in context:
            context["ti"].xcom_push(key=SUMMARY, value=plan.summary())
        return plan.kwargs()
