"""The hook: an Airflow connection becomes credentials, credentials become a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_vectorize import parameters, provider_info, storage
from airflow_provider_vectorize.airflow_support import lineage
from airflow_provider_vectorize.airflow_support.metrics import LoadMetrics
from airflow_provider_vectorize.airflow_support.task_state import is_retry, run_name
from airflow_provider_vectorize.api import models
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import AuthError, ConfigError, VectorizeError
from airflow_provider_vectorize.hooks.connection import client_from, missing_connection, read_connection, variable_fault
from airflow_provider_vectorize.hooks.endpoints import Endpoints
from airflow_provider_vectorize.load.checkpoint import CheckpointStore
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LOAD_CHECKS, LoadOptions, OnBadRow
from airflow_provider_vectorize.load.progress import LastProgress
from airflow_provider_vectorize.load.rejections import summary
from airflow_provider_vectorize.plan.plan import PLAN_CHECKS, Plan, plan, refuse_parts
from airflow_provider_vectorize.plan.survey import survey
from airflow_provider_vectorize.quantities import format_size, pluralize
from airflow_provider_vectorize.rows import function_rows
from airflow_provider_vectorize.rows.validation import Float32Text, Validation, check_settings
from airflow_provider_vectorize.sources.source_object import SourceObject


class VectorizeHook(Endpoints, BaseHook):
    """Cloudflare Vectorize: one method an endpoint, and :meth:`load`.

    Every method raises a :class:`~airflow_provider_vectorize.errors.VectorizeError`; transient failures are
    tried again for as long as the connection says.

    :param vectorize_conn_id: an Airflow connection of the type ``vectorize``: the API token as password (or the
        Global API key, with the e-mail as login), ``account_id`` among the extra fields, and as host the API's
        base URL, where it is another than Cloudflare's.
    :param limits: Cloudflare's limits, where your account's differ.
    :param context: The running task's, as operators have it. By default Airflow is asked for it. From the second
        attempt of a task on, the first write waits for ``limits.late_seconds``.
    """

    conn_name_attr: ClassVar[str] = "vectorize_conn_id"
    default_conn_name: ClassVar[str] = "vectorize_default"
    conn_type: ClassVar[str] = provider_info.CONNECTION_TYPE
    hook_name: ClassVar[str] = provider_info.HOOK_NAME

    def __init__(
        self,
        vectorize_conn_id: str = default_conn_name,
        *,
        limits: Limits = LIMITS,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._context = context
        self.vectorize_conn_id = vectorize_conn_id
        self.limits = limits
        #: The last :meth:`load` that ended well, for lineage.
        self.loaded: lineage.Loaded | None = None

    # ---------------------------------------------------------------- connection

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """The form's own fields, for Airflow before 3.2; newer ones read the provider's metadata."""
        return {key.replace("-", "_"): value for key, value in provider_info.UI_FIELD_BEHAVIOUR.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The form's extra fields, for Airflow before 3.2; newer ones read the provider's metadata."""
        # Installed with Airflow 2's web server only.
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # noqa: PLC0415
        from wtforms import BooleanField, StringField  # noqa: PLC0415

        return {
            name: BooleanField(field["label"], description=field["description"], default=True)
            if "boolean" in field["schema"]["type"]
            else StringField(field["label"], description=field["description"], widget=BS3TextFieldWidget())
            for name, field in provider_info.CONN_FIELDS.items()
        }

    def get_conn(self) -> VectorizeClient:
        """A client of its own; close it, or use it with ``with``."""
        client = client_from(self.connection(), limits=self.limits)
        if is_retry(self._context):
            client.late.give_up()
        return client

    def test_connection(self) -> tuple[bool, str]:
        """List the account's indexes; this proves the permission that everything else needs. Tries once."""
        notes: tuple[str, ...] = ()
        try:
            connection = self.connection()
            notes = read_connection(connection).notes
            with client_from(connection, retry=RetryPolicy(total=0)) as client:
                indexes = client.list_indexes()
        except AuthError as error:
            return False, " ".join((f"Cloudflare refuses the credentials. {error.message}", *notes))
        except VectorizeError as error:
            return False, " ".join((error.message, *notes))
        names = ", ".join(index.name for index in indexes[:5]) + (", …" if len(indexes) > 5 else "")
        count = "1 index" if len(indexes) == 1 else f"{len(indexes)} indexes"
        text = f"Connected. The account has {count}{': ' if names else '.'}{names}"
        return True, " ".join((text.rstrip(".") + ".", *notes)) if notes else text

    def connection(self) -> Any:
        """The Airflow connection.

        :raises ConfigError: there is none of that id, or its environment variable cannot be read.
        """
        try:
            found = self.get_connection(self.vectorize_conn_id)
        except AirflowNotFoundException:
            raise missing_connection(self.vectorize_conn_id) from None
        fault = "" if found.conn_type else variable_fault(self.vectorize_conn_id)
        if fault:  # Airflow takes any text for a URI
            raise ConfigError(fault)
        return found

    # ---------------------------------------------------------------- loading

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
        checkpoints: CheckpointStore | None = None,
        identity: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Stream ndjson from storage into an index, in constant memory.

        Returns when every good row is acknowledged and every bad one is accounted for. What is acknowledged is
        not yet visible: hand the receipt to a ``VectorizeMutationSensor``. Calling it again with the same
        source is safe: insert and upsert are idempotent by id.

        :param index_name: an index that is there.
        :param source: a URI (``s3://``, ``gs://``, ``abfs://``, ``file://``), a path, a glob, or a list of them;
            ``.gz`` and ``.zst`` by name. One object a line: ``id``, ``values``, perhaps ``namespace`` and ``metadata``.
        :param operation: ``upsert`` replaces vectors that are there, ``insert`` silently leaves them.
        :param source_conn_id: the storage's connection.
        :param validation: ``full``: every row is parsed and checked. ``light``: values are only counted. ``off``:
            rows are sent as they stand. What is not found here Vectorize finds, and costs more requests.
        :param float32_text: ``auto``: where it saves a tenth or more, values travel as the shortest text of the same
            float32, which is what Vectorize stores. ``always``, ``never``. Needs ``validation="full"``.
        :param unparsable_behavior: ``discard`` drops lines that are no vector in JSON, counts them and writes
            each to the log or the dead-letter file; ``error`` treats them like other bad rows.
        :param on_bad_row: ``fail``, or ``dead_letter``: go on without it.
        :param dead_letter_path: the ndjson file for bad rows, at the same storage, empty if no row is bad. Letters that
            this run of the task wrote are replaced, those of another run and all other files are refused; outside of a
            task ``identity`` says which run it is. Not a link, nor named like a compressed file.
        :param max_bad_rows: with more than this the load fails.
        :param max_in_flight: requests under way at a time. Rows with the same id keep their order all the same.
        :param checkpoints: where to keep how far the load came; without it a retry starts over.
        :param identity: what else makes it this load, by name: if one changes, a retry starts over. With it the
            checkpoint of a finished load is kept, and the same load again sends nothing; without it, it is cleared.
        :return: the receipt, JSON-plain: ``mutation_id`` (of the last batch), ``mutation_ids``, ``index_name``,
            ``operation``, ``vectors``, ``batches``, ``bytes_sent``, ``rejected``, ``rejected_by_reason``,
            ``dead_letter_path``, ``accepted_at``; and ``sent_after``, ``samples`` and ``sealed``, which the wait needs.
        :raises SourceError: an object is missing, cut off or changed, or nothing matches, or there are no rows.
        :raises BadRowError: a bad row, with its object, line and byte.
        :raises ApiError: what Vectorize said; :attr:`progress` tells what it had accepted before.
        """
        index_name = parameters.text("index_name", index_name)
        source = parameters.paths("source", source)
        source_conn_id = parameters.optional(parameters.text, empty_is_none=True)("source_conn_id", source_conn_id)
        dead_letter_path = parameters.optional(parameters.path)("dead_letter_path", dead_letter_path)
        given = parameters.check_values(
            LOAD_CHECKS,
            operation=operation,
            validation=validation,
            float32_text=float32_text,
            unparsable_behavior=unparsable_behavior,
            on_bad_row=on_bad_row,
            max_bad_rows=max_bad_rows,
            max_in_flight=max_in_flight,
            limits=self.limits,
        )
        check_settings(given["validation"], given["float32_text"])
        if (given.pop("on_bad_row") == "dead_letter") != bool(dead_letter_path):
            raise ConfigError("on_bad_row='dead_letter' and a dead_letter_path go together: give both or neither.")
        operation = given.pop("operation")
        target = storage.StoredFile(dead_letter_path, source_conn_id) if dead_letter_path else None
        letters = DeadLetters(target, run_name(identity)) if target else None
        options = LoadOptions(**given, dead_letters=letters)
        with client_from(self.connection(), limits=self.limits) as client:
            self._loading = client
            found = storage.find(source, source_conn_id)
            if target:
                target.refuse_source(found, source, source_conn_id)
            objects = function_rows.with_function_names(found)
            self.log.info("%s", _beginning(index_name, operation, objects))
            index = client.get_index(index_name)
            observer = LastProgress(LoadMetrics(index_name))
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
        self.loaded = lineage.Loaded(
            account_id=client.credentials.account_id,
            dimensions=index.config.dimensions,
            metric=index.config.metric,
            read=[lineage.Read(item.location, item.size) for item in found],
            dead_letters=target.location if target and receipt.rejected else None,
            receipt=receipt,
        )
        lineage.collect(self, self.loaded)
        self.log.info("%s", observer.last.summary() if observer.last else "")
        if receipt.rejected:
            where = f"written to {receipt.dead_letter_path}" if receipt.dead_letter_path else "named above"
            self.log.warning(
                "Rejected %s: %s. They are %s.",
                pluralize(receipt.rejected, "row"),
                summary(receipt.rejected_by_reason),
                where,
            )
        return receipt.to_dict()

    def plan(
        self,
        index_name: str,
        source: str | Sequence[str],
        *,
        shards: int,
        source_conn_id: str | None = None,
        mb_per_second: float | None = None,
    ) -> Plan:
        """Share a source out among tasks, and reckon what its load will cost. Nothing is written.

        A few small reads of the source and two or three requests to Vectorize, however large it is.

        :param index_name: an index that is there.
        :param source: as for :meth:`load`, but whole objects only.
        :param shards: how many tasks at the most. A large plain object is cut into parts of 16 MB or more, each of
            whole lines; compressed ones are not cut.
        :param source_conn_id: the storage's connection.
        :param mb_per_second: what all tasks together send, as you measured it, for the minutes that the load takes.
        :return: the plan: :meth:`~.load.plan.Plan.kwargs`, a ``source`` for each task, and
            :meth:`~.load.plan.Plan.summary`.
        :raises ConfigError: the load cannot fit into the index.
        :raises SourceError: an object is missing, nothing matches, or there are no rows.
        """
        index_name = parameters.text("index_name", index_name)
        source = parameters.paths("source", source)
        source_conn_id = parameters.optional(parameters.text, empty_is_none=True)("source_conn_id", source_conn_id)
        given = parameters.check_values(PLAN_CHECKS, shards=shards, mb_per_second=mb_per_second, limits=self.limits)
        with self.get_conn() as client:
            objects = storage.find(source, source_conn_id)
            refuse_parts(objects)
            seen = survey(objects)
            info = client.get_index_info(index_name)
            ids = seen.ids(self.limits.ids_per_get)
            there = {vector.id for vector in client.get_by_ids(index_name, ids)} if info.vector_count and ids else ()
            found = plan(
                objects,
                seen,
                **given,
                room=max(0, self.limits.vectors_per_index - info.vector_count),
                share_new=1 - len(there) / len(ids) if ids else 1.0,
                quota=client.pacer.quota,
                reserve=client.pacer.reserve,
            )
        self.log.info('Planned a load of index "%s": %s', index_name, found.told())
        return found

    def stop(self) -> None:
        """End a :meth:`load` that another thread or a signal handler wants to end; it raises soon after."""
        client: VectorizeClient | None = getattr(self, "_loading", None)
        if client is not None:
            client.stop()


def _beginning(index_name: str, operation: str, objects: Sequence[SourceObject]) -> str:
    what = f"{pluralize(len(objects), 'object')} ({format_size(sum(item.size or 0 for item in objects))} as stored)"
    first = ", the first is" if len(objects) > 1 else ":"
    return f'Loading {what} into index "{index_name}" by {operation}{first} {objects[0].uri}'
