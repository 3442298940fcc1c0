"""Operators that load ndjson from storage into an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider_vectorize.airflow_support.lineage import operator_lineage, set_event_extras
from airflow_provider_vectorize.airflow_support.task_state import attempt_identity, checkpoint_store, run_identity
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.models import Operation, UnparsableBehavior
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.links.load import (
    DEAD_LETTER_LINK,
    VectorizeDeadLetterLink,
    VectorizeIndexLink,
    object_url,
)
from airflow_provider_vectorize.load.options import LOAD_CHECKS, OnBadRow
from airflow_provider_vectorize.operators.base import IndexTask
from airflow_provider_vectorize.parameters import Check, flag, paths
from airflow_provider_vectorize.rows.validation import Float32Text, Validation

#: Room that Airflow has for the name of a mapped task.
LABEL_CHARACTERS = 250


class VectorizeUpsertOperator(IndexTask, BaseOperator):
    """Insert or replace vectors: stream ndjson from upstream storage into an index.

    When the task is green, Vectorize has acknowledged every good row and every bad one is accounted for. They can
    be queried some seconds to minutes later: pass the task's output to a ``VectorizeMutationSensor``.

    A retry after a crash goes on after the last acknowledged batch (``durable``). Where it cannot, it starts over,
    which is safe: writes are idempotent by id.

    Returned to XCom, and each key on its own, so that ``load.output["mutation_id"]`` works, too: ``mutation_id``
    (of the last batch), ``mutation_ids`` (at most the last 1,000), ``index_name``, ``operation``, ``vectors``,
    ``batches``, ``bytes_sent``, ``rejected``, ``rejected_by_reason`` (counts), ``dead_letter_path`` (its URI or
    ``None``), ``accepted_at``; ``sent_after``, ``samples`` and ``sealed`` (for the sensor).
    Beside the receipt there are the addresses of the links on the task's page.

    With the asset ``vectorize://<account id>/<index name>`` among the ``outlets``, its event carries ``mutation_id``,
    ``vectors``, ``rejected``, ``batches`` and ``accepted_at``. OpenLineage is told of the objects and the index.

    :param index_name: an index that is there. (templated)
    :param source: a URI (``s3://``, ``gs://``, ``abfs://``, ``file://``), a path, a glob, or a list of them; ``.gz``
        and ``.zst`` by name. One JSON object a line: ``id``, ``values``, perhaps ``namespace`` and ``metadata``.
        (templated)
    :param source_conn_id: the storage's connection. (templated)
    :param validation: ``full``: every row is parsed and checked before it is sent. ``light``: values are only counted.
        ``off``: rows are sent as they stand. What is not found here Vectorize finds, and costs more requests.
        (templated)
    :param float32_text: ``auto``: where it saves a tenth or more, values travel as the shortest text of the same
        float32, which is what Vectorize stores. ``always``, ``never``. Needs ``validation="full"``. (templated)
    :param unparsable_behavior: ``error``: a line that is no vector in JSON is a bad row like others. ``discard``:
        it is dropped, counted in ``rejected`` and written to the log or the dead-letter file. (templated)
    :param on_bad_row: ``fail`` the task and name the line, or ``dead_letter``: write the row down and go on.
        (templated)
    :param dead_letter_path: where to: an ndjson file at the same storage, empty if no row is bad. Each run needs its
        own, so put ``{{ run_id }}`` into its name, and ``{{ ti.map_index }}`` if the task is mapped. A retry or a
        cleared task replaces its own letters; a file that holds anything else fails the task. (templated)
    :param max_bad_rows: the task fails once more than this many rows are rejected. (templated)
    :param max_in_flight: maximum number of concurrent requests. Rows that share an id are still written in order.
        (templated)
    :param durable: keep checkpoints between retries, on Airflow 3.3 and newer. "Clear" starts over.
    :param limits: Cloudflare's limits, where your account's differ.
    :param vectorize_conn_id: the connection to Vectorize. (templated)
    :raises SourceError: an object is missing, cut off or changed, nothing matches, or there are no rows.
    :raises BadRowError: a bad row, with object, line and byte.
    :raises ApiError: what Vectorize said; its text tells what was acknowledged before.
    """

    operation: ClassVar[Operation] = "upsert"
    template_fields: Sequence[str] = (
        "index_name",
        "source",
        "source_conn_id",
        "validation",
        "float32_text",
        "unparsable_behavior",
        "on_bad_row",
        "dead_letter_path",
        "max_bad_rows",
        "max_in_flight",
        "vectorize_conn_id",
    )
    parameter_checks: ClassVar[Mapping[str, Check]] = LOAD_CHECKS
    ui_color = "#fbe0c6"
    operator_extra_links = (VectorizeIndexLink(), VectorizeDeadLetterLink())
    default_map_index_template = "{{ task.source_label }}"

    def __init__(
        self,
        *,
        index_name: str,
        source: str | Sequence[str],
        source_conn_id: str | None = None,
        validation: Validation = "full",
        float32_text: Float32Text = "auto",
        unparsable_behavior: UnparsableBehavior = "error",
        on_bad_row: OnBadRow = "fail",
        dead_letter_path: str | None = None,
        max_bad_rows: int = 1_000,
        max_in_flight: int = 4,
        durable: bool = True,
        limits: Limits = LIMITS,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.index_name = index_name
        self.source = source
        self.source_conn_id = source_conn_id
        self.validation = validation
        self.float32_text = float32_text
        self.unparsable_behavior = unparsable_behavior
        self.on_bad_row = on_bad_row
        self.dead_letter_path = dead_letter_path
        self.max_bad_rows = max_bad_rows
        self.max_in_flight = max_in_flight
        self.durable = durable
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()
        self._hook: VectorizeHook | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Load the source, and return the receipt."""
        run_by_airflow = "ti" in context
        with self.on_index(context):
            if self.do_xcom_push and run_by_airflow:
                # Airflow looks for each link when the task ends, and logs an error for one that is missing.
                context["ti"].xcom_push(key=DEAD_LETTER_LINK, value="")
            self._hook = VectorizeHook(self.vectorize_conn_id, limits=self.limits, context=context)
            receipt = self._hook.load(
                self.index_name,
                self.source,
                operation=self.operation,
                source_conn_id=self.source_conn_id,
                validation=self.validation,
                float32_text=self.float32_text,
                unparsable_behavior=self.unparsable_behavior,
                on_bad_row=self.on_bad_row,
                dead_letter_path=self.dead_letter_path,
                max_bad_rows=self.max_bad_rows,
                max_in_flight=self.max_in_flight,
                checkpoints=checkpoint_store(context) if run_by_airflow and flag("durable", self.durable) else None,
                identity=attempt_identity(context) | run_identity(context) if run_by_airflow else None,
            )
        self._publish(context)
        return receipt

    def _publish(self, context: Context) -> None:
        """Leave the link to the dead letters, and the receipt on the events of the index's asset."""
        loaded = self._hook.loaded if self._hook else None
        if loaded is None:
            return
        if loaded.dead_letter_file and self.do_xcom_push and "ti" in context:
            context["ti"].xcom_push(key=DEAD_LETTER_LINK, value=object_url(loaded.dead_letter_file))
        if self.outlets and "outlet_events" in context:
            set_event_extras(self.outlets, context["outlet_events"], loaded)

    @property
    def source_label(self) -> str:
        """What this task loads, in a few words: the name of a mapped task in Airflow's pages."""
        return label(self.source)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """The objects and their sizes; the index, its shape, and the rows written."""
        loaded = self._hook.loaded if self._hook else None
        return operator_lineage(loaded) if loaded else None

    def on_kill(self) -> None:
        """Send nothing more; the load then ends by itself, and its checkpoint stays."""
        if self._hook is not None:
            self._hook.stop()


class VectorizeInsertOperator(VectorizeUpsertOperator):
    """Insert vectors: stream ndjson from upstream storage into an index. A vector whose id is taken is left as it is.

    Vectorize does not say which ones were left: the receipt counts the rows that it acknowledged. Parameters, errors
    and what goes to XCom are those of :class:`VectorizeUpsertOperator`.
    """

    operation: ClassVar[Operation] = "insert"


def label(source: Any) -> str:
    """Return a short name of a source: the last folder and the name of its first object, and how many more it has."""
    try:
        names = paths("source", source)
    except ConfigError:  # the load itself says what is wrong
        return ""
    first = names[0].partition("://")[2] or names[0]
    short = "/".join(first.rpartition("@")[2].strip("/").split("/")[-2:])
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return short[-(LABEL_CHARACTERS - len(more)) :] + more
