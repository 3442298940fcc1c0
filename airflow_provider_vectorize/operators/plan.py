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

#: The key in XCom of what the load will cost.
SUMMARY = "summary"


class VectorizePlanLoadOperator(IndexTask, BaseOperator):
    """Share a large source out among mapped tasks, and say what its load will cost. Nothing is written.

    A few small reads of the source and two or three requests to Vectorize, however large it is. Used alone, it tells
    whether a load fits. In front of a load, it feeds ``expand_kwargs``::

        plan = VectorizePlanLoadOperator(task_id="plan", index_name="docs", source="s3://…/*.ndjson", shards=16)
        load = VectorizeUpsertOperator.partial(task_id="load", index_name="docs").expand_kwargs(plan.output)

    Returned to XCom: for each shard ``{"source": [...]}``, the names of objects and parts of objects, with their
    connection, in the order of the source. Under the key ``summary``: ``shards``, ``objects``, ``stored_bytes``,
    ``text_bytes``, ``largest_shard_bytes``, ``vectors``, ``new_vectors``, ``room``, ``bytes_to_send``, ``requests``,
    ``budget_share``, ``processing_jobs``, ``minutes`` and ``minutes_by``, see :class:`~.load.plan.Plan`.

    Between tasks there is no order: an id that comes twice has to be in one shard, or which of its rows stays is open.

    :param index_name: an index that is there. (templated)
    :param source: a URI, a path, a glob, or a list of them, as for the load. (templated)
    :param shards: how many tasks at the most. A large plain object is cut into parts of 16 MB or more, each of whole
        lines; compressed objects are not cut. (templated)
    :param source_conn_id: the storage's connection. (templated)
    :param mb_per_second: what all tasks together send, as you measured it. With it, ``minutes`` is how long the load
        takes; without, the least that the account's budget of requests allows. (templated)
    :param limits: Cloudflare's limits, where your account's differ.
    :param vectorize_conn_id: the connection to Vectorize. (templated)
    :raises ConfigError: the load cannot fit into the index.
    :raises SourceError: an object is missing, nothing matches, or there are no rows.
    """

    template_fields: Sequence[str] = (
        "index_name",
        "source",
        "shards",
        "source_conn_id",
        "mb_per_second",
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
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Plan the load, and return what to map over."""
        with self.on_index(context):
            plan = VectorizeHook(self.vectorize_conn_id, limits=self.limits).plan(
                self.index_name,
                self.source,
                shards=self.shards,
                source_conn_id=self.source_conn_id,
                mb_per_second=self.mb_per_second,
            )
        if self.do_xcom_push and "ti" in context:
            context["ti"].xcom_push(key=SUMMARY, value=plan.summary())
        return plan.kwargs()
