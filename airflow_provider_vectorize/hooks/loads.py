"""Load a source into an index, and plan a load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_vectorize import parameters, storage
from airflow_provider_vectorize.airflow_support import lineage
from airflow_provider_vectorize.airflow_support.metrics import LoadMetrics
from airflow_provider_vectorize.airflow_support.task_state import is_retry, run_name
from airflow_provider_vectorize.api import models
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.hooks.collecting import open_checks
from airflow_provider_vectorize.hooks.connection import build_client, read_connection
from airflow_provider_vectorize.hooks.endpoints import Endpoints
from airflow_provider_vectorize.hooks.sources import find_objects, open_dead_letter_file, start_message
from airflow_provider_vectorize.load.checkpoint import CheckpointStore
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.incarnation import check_created_on
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LOAD_CHECKS, LoadOptions, OnBadRow
from airflow_provider_vectorize.load.progress import LastProgress
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.load.rejections import describe_rejected
from airflow_provider_vectorize.plan.parquet_survey import survey_parquet
from airflow_provider_vectorize.plan.plan import PLAN_CHECKS, Plan, plan, require_whole_objects
from airflow_provider_vectorize.plan.survey import survey
from airflow_provider_vectorize.rows import function_rows
from airflow_provider_vectorize.rows.row_processes import Processes
from airflow_provider_vectorize.rows.validation import Float32Text, Validation, check_settings
from airflow_provider_vectorize.sources.fields import Fields
from airflow_provider_vectorize.sources.formats import FormatSetting, detect_format


class Loads(Endpoints):
    """Methods of the hook that load a source or plan a load."""

    limits: Limits
    #: The last load that sent something, for lineage. It may have failed.
    loaded: lineage.FinishedLoad | None = None
    log: Any
    _context: Mapping[str, Any] | None
    _load_client: VectorizeClient | None = None

    def connection(self) -> Any:
        """Return the Airflow connection.

        :raises ConfigError: The connection does not exist, or its environment variable cannot be read.
        """
        raise NotImplementedError

    def load(
        self,
        index_name: str,
        source: str | Sequence[str],
        *,
        operation: models.Operation = "upsert",
        source_conn_id: str | None = None,
        validation: Validation = "full",
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
        created_on: str | None = None,
        checkpoints: CheckpointStore | None = None,
        identity: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Stream ndjson or Parquet from storage into an index, in constant memory.

        Returns when Vectorize has acknowledged every good row and every bad row is accounted for. Acknowledged rows
        are not visible yet. Pass the receipt to a ``VectorizeMutationSensor`` to wait for them. Loading the same
        source again is safe, because insert and upsert are idempotent by ID.

        :param index_name: Name of an existing index.
        :param source: A URI (``s3://``, ``gs://``, ``abfs://``, ``file://``), a path, a glob, a folder that ends in
            ``/``, or a list of them. Of globs and folders, hidden objects (names that start with ``_`` or ``.``),
            ``.crc`` files and empty objects are skipped. Objects of ndjson whose names end in
            ``.gz`` or ``.zst`` are decompressed. Each line or row has the fields ``id``, ``values`` and, optionally,
            ``namespace`` and ``metadata``.
        :param operation: ``upsert`` overwrites existing vectors, ``insert`` silently keeps them.
        :param source_conn_id: Connection of the storage, unless the source names one.
        :param validation: ``full`` parses and checks every row. ``light`` only counts the values. ``off`` sends rows
            unchecked. Errors that are not caught here are caught by Vectorize, at the cost of extra requests.
        :param float32_text: ``auto`` sends values as the shortest text of the same float32, which is what Vectorize
            stores, if that saves a tenth or more of the bytes. ``always`` does so for every row, ``never`` for none.
            Rewriting requires ``validation="full"``.
        :param unparsable_behavior: ``error`` treats a line that is not a valid JSON vector like any other bad row.
            ``discard`` drops the line, counts it, and writes it to the log or the dead-letter file.
        :param on_bad_row: ``fail`` fails the load. ``dead_letter`` writes the row to the dead-letter file and
            continues. It requires ``dead_letter_path``.
        :param dead_letter_path: Path or URI of the ndjson file for bad rows, in the same storage as the source. The
            file is empty if no row is bad. It replaces dead letters that this run of the task wrote. Any other
            existing file fails the load, also the dead letters of another run. Outside of a task, ``identity`` names
            the run. The path must not be a link, and its name must not be that of a compressed file.
        :param max_bad_rows: The load fails once more than this many rows are rejected. Default: 1,000.
        :param max_in_flight: Maximum number of concurrent requests. Rows that share an ID are still written in order.
            Default: 4.
        :param processes: Number of processes that check and rewrite rows of ndjson or write the values of Parquet as
            text, with this one. The others start once 64 MB of text were read, or at once for a plain local file of 128
            MB or more. Each takes about 50 MB of memory. ``auto`` is one for each processor that the task may use, at
            most 4, and for ndjson 1 unless ``validation`` is ``full``. 1 starts none, and the maximum is 64. Default:
            ``auto``.
        :param format: ``ndjson`` or ``parquet``. ``auto`` decides by the names of the objects or, where a name has no
            known suffix, by the first bytes. Parquet requires the extra ``parquet``. Default: ``auto``.
        :param fields: Which fields of the source become the fields of a vector, if they are not called ``id``,
            ``values``, ``namespace`` and ``metadata``: a dict such as ``{"id": "custom_id", "values":
            "response.body.data.0.embedding", "namespace": "tenant", "metadata": ["title", "url"]}``. Paths have dots,
            and a number selects an element of an array. The metadata is the path of an object, a list of paths, or
            a dict of metadata keys and paths. Without ``namespace`` or ``metadata``, vectors have none. A row that
            lacks one of the fields is a bad row.
        :param collect_checks: Path or URI of a JSON file for what ``check()`` needs of the rows: a random sample, exact
            nearest neighbors of 30 vectors, and the numbers of IDs, zero vectors and duplicates. The 30 vectors are
            drawn from the first 4,096 rows, because the neighbors of a later one could be among the rows that are
            already gone. It requires ``validation="full"``, and 7 to 15 seconds for each million rows. A retry then
            reads the source from its beginning. The file replaces an earlier one. Default: nothing is collected.
        :param created_on: The ``created_on`` that ``VectorizeCreateIndexOperator`` returned. The load fails, before it
            writes or at its end, if the index was created again since, so that two rebuilds cannot mix unnoticed.
            Default: any incarnation of the index.
        :param checkpoints: Checkpoint store. Without one, a retry starts over.
        :param identity: Names and values that identify this load in addition to its parameters. If one of them
            changes, a retry starts over. With an identity, the checkpoint of a finished load is kept, and the same
            load sends nothing when it is called again. Without one, the checkpoint is cleared.
        :return: The receipt, a dict that JSON can hold: ``mutation_id`` (of the last batch), ``mutation_ids``,
            ``index_name``, ``operation``, ``vectors``, ``batches``, ``bytes_sent``, ``rejected``,
            ``rejected_by_reason``, ``dead_letter_path``, ``checks_path``, ``accepted_at``, and ``sent_after``,
            ``samples`` and ``sealed`` for the sensor.
        :raises SourceError: An object is missing, truncated or changed, no object matches, or there are no rows.
        :raises BadRowError: A row cannot be loaded. The error names its object, line and byte.
        :raises ApiError: A request failed. The error's ``progress`` reports what was acknowledged before.
        """
        index_name = parameters.text("index_name", index_name)
        source = parameters.paths("source", source)
        source_conn_id = parameters.optional(parameters.text, empty_is_none=True)("source_conn_id", source_conn_id)
        dead_letter_path = parameters.optional(parameters.path)("dead_letter_path", dead_letter_path)
        settings = parameters.check_values(
            LOAD_CHECKS,
            operation=operation,
            validation=validation,
            float32_text=float32_text,
            unparsable_behavior=unparsable_behavior,
            on_bad_row=on_bad_row,
            max_bad_rows=max_bad_rows,
            max_in_flight=max_in_flight,
            processes=processes,
            format=format,
            fields=fields,
            created_on=created_on,
            limits=self.limits,
        )
        check_settings(settings["validation"], settings["float32_text"])
        operation, pinned = settings.pop("operation"), settings.pop("created_on")
        dead_letter_file = open_dead_letter_file(settings.pop("on_bad_row"), dead_letter_path, source_conn_id)
        dead_letters = DeadLetters(dead_letter_file, run_name(identity)) if dead_letter_file else None
        checks = open_checks(collect_checks, source_conn_id, settings["validation"])
        options = LoadOptions(**settings, dead_letters=dead_letters, collector=checks.collector if checks else None)
        self._about_to_write(index_name)
        with build_client(read_connection(self.connection()), limits=self.limits) as client:
            self._load_client = client
            stored_objects = find_objects(source, source_conn_id, dead_letter_file, checks.file if checks else None)
            objects = function_rows.with_function_names(stored_objects)
            self.log.info("%s", start_message(f'Loading %s into index "{index_name}" by {operation}', objects))
            index = client.get_index(index_name)
            check_created_on(index, pinned)
            observer = LastProgress(LoadMetrics(index_name))
            written = (client.credentials.account_id, index, stored_objects, dead_letter_file)
            try:
                receipt = run(
                    client,
                    operation,
                    index,
                    objects,
                    options,
                    checkpoints,
                    identity or {},
                    observer,
                    earlier_attempt=is_retry(self._context),
                )
            except BaseException:
                if observer.last:
                    self.loaded = lineage.FinishedLoad.of(*written, observer.last.receipt)
                raise
        if pinned:
            with self.get_conn() as client:  # The client of the load is stopped.
                check_created_on(client.get_index(index_name), pinned)
        if checks:
            receipt = checks.save(receipt)
        self._report_lineage(*written, receipt)
        self.log.info("%s", observer.last.summary() if observer.last else "")
        if receipt.rejected:
            self.log.warning("%s", describe_rejected(receipt))
        return receipt.to_dict()

    def plan(
        self,
        index_name: str,
        source: str | Sequence[str],
        *,
        shards: int,
        source_conn_id: str | None = None,
        mb_per_second: float | None = None,
        format: FormatSetting = "auto",
        fields: Mapping[str, Any] | None = None,
    ) -> Plan:
        """Split a source into shards for mapped tasks and estimate the cost of loading it. Writes nothing.

        Takes a few small reads of the source and two or three requests to Vectorize, whatever the size of the source.

        :param index_name: Name of an existing index.
        :param source: As for :meth:`load`, but without parts of objects.
        :param shards: Maximum number of shards. A large plain object is split into parts of at least 16 MB, at the
            ends of lines. Compressed objects are not split. Parquet is split between row groups.
        :param source_conn_id: Connection of the storage, unless the source names one.
        :param mb_per_second: Measured rate of all tasks together, in MB per second, to estimate the duration.
        :param format: As for :meth:`load`. Pass the same value to the load.
        :param fields: As for :meth:`load`. Pass the same value to the load.
        :return: The plan. :meth:`~.plan.plan.Plan.kwargs` returns the ``source`` of each shard, and
            :meth:`~.plan.plan.Plan.summary` returns the cost.
        :raises ConfigError: The index has no room for the new vectors, or the source has objects of both formats.
        :raises SourceError: An object is missing, no object matches, there are no rows, or ``fields`` fits none of
            those that were read.
        """
        index_name = parameters.text("index_name", index_name)
        source = parameters.paths("source", source)
        source_conn_id = parameters.optional(parameters.text, empty_is_none=True)("source_conn_id", source_conn_id)
        settings = parameters.check_values(
            PLAN_CHECKS, shards=shards, mb_per_second=mb_per_second, limits=self.limits, format=format, fields=fields
        )
        mapping: Fields = settings.pop("fields")
        with self.get_conn() as client:
            objects = storage.find(source, source_conn_id)
            require_whole_objects(objects)
            is_parquet = detect_format(objects, settings.pop("format")) == "parquet"
            ndjson_survey = None if is_parquet else survey(objects, mapping)
            info = client.get_index_info(index_name)
            source_survey = ndjson_survey or survey_parquet(objects, mapping, info.dimensions, self.limits)
            ids = source_survey.ids(self.limits.ids_per_get)
            known = client.get_by_ids(index_name, ids) if info.vector_count and ids else []
            existing_ids = {vector.id for vector in known}
            load_plan = plan(
                objects,
                source_survey,
                **settings,
                room=max(0, self.limits.vectors_per_index - info.vector_count),
                share_new=1 - len(existing_ids) / len(ids) if ids else 1.0,
                quota=client.pacer.quota,
                reserve=client.pacer.reserve,
            )
        self.log.info('Planned a load of index "%s": %s', index_name, load_plan.describe())
        return load_plan

    def _report_lineage(
        self,
        account_id: str,
        index: models.Index,
        stored_objects: Sequence[storage.StoredObject],
        dead_letter_file: storage.DeadLetterFile | None,
        receipt: Receipt,
    ) -> None:
        """Report what was read and written to Airflow's lineage, and keep it in :attr:`loaded`."""
        self.loaded = lineage.FinishedLoad.of(account_id, index, stored_objects, dead_letter_file, receipt)
        lineage.report_to_collector(self, self.loaded)

    def stop(self) -> None:
        """Stop a running :meth:`load`, which then raises. Call it from another thread or a signal handler."""
        if self._load_client is not None:
            self._load_client.stop()
