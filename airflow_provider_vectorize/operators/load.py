"""Operators that load ndjson or Parquet from storage into an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider_vectorize.airflow_support.task_state import attempt_identity, checkpoint_store, run_identity
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.models import Operation, UnparsableBehavior
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.load.options import LOAD_CHECKS, OnBadRow
from airflow_provider_vectorize.operators.source_task import SourceTask
from airflow_provider_vectorize.parameters import Check, flag
from airflow_provider_vectorize.rows.row_processes import Processes
from airflow_provider_vectorize.rows.validation import Float32Text, Validation
from airflow_provider_vectorize.sources.formats import FormatSetting


class VectorizeUpsertOperator(SourceTask, BaseOperator):
    """Upsert vectors: stream ndjson or Parquet from storage into an index, and overwrite existing vectors.

    The task succeeds after Vectorize has acknowledged every good row, and every bad row is accounted for. Queries find
    the vectors some seconds to minutes later. Pass the task's output to a ``VectorizeMutationSensor`` to wait for that.

    A retry continues after the last acknowledged batch if it has a checkpoint (``durable``). Otherwise it starts over,
    which is safe because writes are idempotent by ID.

    Returns the receipt: ``mutation_id`` (of the last batch), ``mutation_ids`` (at most the last 1,000),
    ``index_name``, ``operation``, ``vectors``, ``batches``, ``bytes_sent``, ``rejected``, ``rejected_by_reason``
    (counts), ``dead_letter_path`` (its URI or ``None``), ``checks_path`` (the name of the checks file or ``None``),
    ``accepted_at``, and ``sent_after``, ``samples`` and ``sealed`` for the sensor. Each key is also pushed to XCom
    separately, so ``load.output["mutation_id"]`` works. The task also pushes the URLs of the links on its page.

    If the ``outlets`` contain the asset ``vectorize://<account id>/<index name>``, its event carries the receipt.
    OpenLineage receives the objects and the index.

    :param index_name: Name of an existing index. (templated)
    :param source: A URI (``s3://``, ``gs://``, ``abfs://``, ``file://``), a path, a glob, a folder that ends in ``/``,
        or a list of them. Of globs and folders, hidden objects (names that start with ``_`` or ``.``), ``.crc`` files
        and empty objects are skipped. Objects of ndjson whose names end in ``.gz`` or ``.zst`` are decompressed. Each
        line or row has the fields ``id``, ``values`` and, optionally, ``namespace`` and ``metadata``. (templated)
    :param source_conn_id: Connection of the storage, unless the source names one. (templated)
    :param validation: ``full`` parses and checks every row before it is sent. ``light`` only counts the values. ``off``
        sends rows unchecked. Errors that are not caught here are caught by Vectorize, at the cost of extra requests.
        (templated)
    :param float32_text: ``auto`` sends values as the shortest text of the same float32, which is what Vectorize
        stores, if that saves a tenth or more of the bytes. ``always`` does so for every row, ``never`` for none.
        Rewriting requires ``validation="full"``. (templated)
    :param unparsable_behavior: ``error`` treats a line that is not a valid JSON vector like any other bad row.
        ``discard`` drops the line, counts it in ``rejected``, and writes it to the log or the dead-letter file.
        (templated)
    :param on_bad_row: ``fail`` fails the task and names the line. ``dead_letter`` writes the row to the dead-letter
        file and continues. It requires ``dead_letter_path``. (templated)
    :param dead_letter_path: Path or URI of the ndjson file for bad rows, in the same storage as the source. The file is
        empty if no row is bad. Each run needs its own file, so put ``{{ run_id }}`` into the name, and
        ``{{ ti.map_index }}`` if the task is mapped. A retry or a cleared task replaces its own dead letters. Any other
        existing file fails the task. (templated)
    :param max_bad_rows: The task fails once more than this many rows are rejected. Default: 1,000. (templated)
    :param max_in_flight: Maximum number of concurrent requests. Rows that share an ID are still written in order.
        Default: 4. (templated)
    :param processes: Number of processes that check and rewrite rows of ndjson or write the values of Parquet as text,
        with that of the task. The others start once 64 MB of text were read, or at once for a plain local file of 128
        MB or more. Each takes about 50 MB of memory. ``auto`` is one for each processor that the task may use, at most
        4, and for ndjson 1 unless ``validation`` is ``full``. 1 starts none, and the maximum is 64. Default:
        ``auto``. (templated)
    :param format: ``ndjson`` or ``parquet``. ``auto`` decides by the names of the objects or, where a name has no known
        suffix, by the first bytes. Parquet requires the extra ``parquet``. Default: ``auto``. (templated)
    :param fields: Which fields of the source become the fields of a vector, if they have other names: a dict such as
        ``{"id": "custom_id", "values": "response.body.data.0.embedding", "metadata": ["title", "url"]}``, see
        :meth:`~.hooks.loads.Loads.load`. (templated)
    :param collect_checks: Path or URI of a JSON file for what a ``VectorizeCheckOperator`` needs of the rows: a random
        sample, exact nearest neighbors of 30 vectors, and the numbers of IDs, zero vectors and duplicates. The 30
        vectors are drawn from the first 4,096 rows, because the neighbors of a later one could be among the rows that
        are already gone. It requires ``validation="full"``, and 7 to 15 seconds for each million rows. A retry then
        reads the source from its beginning. The file replaces an earlier one. Default: nothing is collected.
        (templated)
    :param created_on: The ``created_on`` that ``VectorizeCreateIndexOperator`` returned. The task fails if the index
        was created again since, so that two rebuilds cannot mix unnoticed. Default: any. (templated)
    :param durable: Save checkpoints for retries, on Airflow 3.3 and newer. A cleared task starts over, unless Airflow
        3.4 was asked to keep its state and the load had not finished. On by default.
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises SourceError: An object is missing, truncated or changed, no object matches, or there are no rows.
    :raises BadRowError: A row cannot be loaded. The error names its object, line and byte.
    :raises ApiError: A request failed. The message reports what was acknowledged before.
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
        "processes",
        "format",
        "fields",
        "collect_checks",
        "created_on",
        "vectorize_conn_id",
    )
    parameter_checks: ClassVar[Mapping[str, Check]] = LOAD_CHECKS

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
        processes: Processes = "auto",
        format: FormatSetting = "auto",
        fields: Mapping[str, Any] | None = None,
        collect_checks: str | None = None,
        created_on: str | None = None,
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
        self.processes = processes
        self.format = format
        self.fields = fields
        self.collect_checks = collect_checks
        self.created_on = created_on
        self.durable = durable
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Load the source, and return the receipt."""
        run_by_airflow = "ti" in context
        with self.checked_execution(context):
            receipt = self._open_hook(context).load(
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
                processes=self.processes,
                format=self.format,
                fields=self.fields,
                collect_checks=self.collect_checks,
                created_on=self.created_on,
                checkpoints=checkpoint_store(context) if run_by_airflow and flag("durable", self.durable) else None,
                identity=attempt_identity(context) | run_identity(context) if run_by_airflow else None,
            )
        self._publish(context)
        return receipt


class VectorizeInsertOperator(VectorizeUpsertOperator):
    """Insert vectors: stream ndjson or Parquet from storage into an index, and keep existing vectors.

    Vectorize does not report which vectors it kept, so the receipt counts all rows that were acknowledged.
    Parameters, errors and the receipt are those of :class:`VectorizeUpsertOperator`.
    """

    operation: ClassVar[Operation] = "insert"
