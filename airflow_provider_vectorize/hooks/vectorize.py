"""The hook: an Airflow connection becomes credentials, credentials become a client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_vectorize import lineage, provider_info, storage
from airflow_provider_vectorize.api import models as m
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import AuthError, ConfigError, NoAnswerError, VectorizeError
from airflow_provider_vectorize.hooks.connection import client_from
from airflow_provider_vectorize.load.checkpoint import CheckpointStore
from airflow_provider_vectorize.load.checks import Float32Text, Validation
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.load.parts import whole
from airflow_provider_vectorize.load.plan import Plan, plan
from airflow_provider_vectorize.load.survey import survey
from airflow_provider_vectorize.metrics import LoadMetrics


class VectorizeHook(BaseHook):
    """Cloudflare Vectorize: one method an endpoint, and :meth:`load`.

    Every method raises a :class:`~airflow_provider_vectorize.errors.VectorizeError`; transient failures are
    tried again for as long as the connection says.

    :param vectorize_conn_id: an Airflow connection of the type ``vectorize``: the API token as password (or the
        Global API key, with the e-mail as login), ``account_id`` among the extra fields, and as host the API's
        base URL, where it is another than Cloudflare's.
    :param limits: Cloudflare's limits, where your account's differ.
    """

    conn_name_attr: ClassVar[str] = "vectorize_conn_id"
    default_conn_name: ClassVar[str] = "vectorize_default"
    conn_type: ClassVar[str] = provider_info.CONNECTION_TYPE
    hook_name: ClassVar[str] = provider_info.HOOK_NAME

    def __init__(self, vectorize_conn_id: str = default_conn_name, *, limits: Limits = LIMITS) -> None:
        super().__init__()
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
        return client_from(self.connection(), limits=self.limits)

    @cached_property
    def client(self) -> VectorizeClient:
        """The client that this hook's methods share."""
        return self.get_conn()

    def test_connection(self) -> tuple[bool, str]:
        """List the account's indexes; this proves the permission that everything else needs. Tries once."""
        try:
            with client_from(self.connection(), retry=RetryPolicy(total=0)) as client:
                indexes = client.list_indexes()
        except NoAnswerError as error:
            return False, f"{error.message} Check the API base URL and the way to it."
        except AuthError as error:
            return False, f"Cloudflare refuses the credentials. {error.message}"
        except VectorizeError as error:
            return False, error.message
        names = ", ".join(index.name for index in indexes[:5]) + (", …" if len(indexes) > 5 else "")
        count = "1 index" if len(indexes) == 1 else f"{len(indexes)} indexes"
        return True, f"Connected. The account has {count}{': ' if names else '.'}{names}"

    def connection(self) -> Any:
        """The Airflow connection.

        :raises ConfigError: there is none of that id.
        """
        try:
            return self.get_connection(self.vectorize_conn_id)
        except AirflowNotFoundException:
            raise ConfigError(
                f'There is no connection "{self.vectorize_conn_id}": create it under Admin, Connections, '
                f'with the type "{self.hook_name}".'
            ) from None

    # ---------------------------------------------------------------- indexes

    def list_indexes(self) -> list[m.Index]:
        """The indexes of the account."""
        return self.client.list_indexes()

    def create_index(
        self,
        index_name: str,
        *,
        dimensions: int | None = None,
        metric: m.Metric | None = None,
        preset: str | None = None,
        description: str | None = None,
    ) -> m.Index:
        """Create an index, either from a preset or from dimensions and a metric.

        :raises IndexExistsError: there is one of that name.
        """
        return self.client.create_index(
            index_name, dimensions=dimensions, metric=metric, preset=preset, description=description
        )

    def get_index(self, index_name: str) -> m.Index:
        """One index: its dimensions, its metric, when it was created."""
        return self.client.get_index(index_name)

    def delete_index(self, index_name: str) -> None:
        """Delete an index with all its vectors."""
        self.client.delete_index(index_name)

    def get_index_info(self, index_name: str) -> m.IndexInfo:
        """Number of vectors (eventually consistent) and watermark of an index."""
        return self.client.get_index_info(index_name)

    # ---------------------------------------------------------------- vectors

    def insert(
        self,
        index_name: str,
        vectors: bytes | Iterable[m.Vector | Mapping[str, Any]],
        *,
        unparsable_behavior: m.UnparsableBehavior = "error",
    ) -> m.Mutation:
        """Insert one batch; a vector whose id is taken is silently left as it is. For files, see :meth:`load`.

        :param vectors: ndjson, or vectors; at most 5,000 and 100 MB.
        :param unparsable_behavior: with ``discard``, Vectorize drops lines that do not parse and does not say so.
        """
        return self.client.insert(index_name, _ndjson(vectors), unparsable_behavior=unparsable_behavior)

    def upsert(
        self,
        index_name: str,
        vectors: bytes | Iterable[m.Vector | Mapping[str, Any]],
        *,
        unparsable_behavior: m.UnparsableBehavior = "error",
    ) -> m.Mutation:
        """Insert or replace one batch; the parameters are those of :meth:`insert`."""
        return self.client.upsert(index_name, _ndjson(vectors), unparsable_behavior=unparsable_behavior)

    def query(
        self,
        index_name: str,
        *,
        vector: Sequence[float] | None = None,
        vector_id: str | None = None,
        top_k: int = 5,
        namespace: str | None = None,
        filter: Mapping[str, Any] | None = None,
        return_values: bool = False,
        return_metadata: m.ReturnMetadata = "none",
    ) -> m.QueryResult:
        """The nearest vectors, best first.

        :param vector: as many floats as the index has dimensions; or
        :param vector_id: the id of a stored vector.
        :param top_k: 1 to 100, or to 50 with values or all metadata.
        :param filter: conditions on properties that have a metadata index; on others it matches nothing.
        :param return_metadata: ``none``, ``indexed`` (strings cut at 64 bytes) or ``all``.
        """
        return self.client.query(
            index_name,
            vector=vector,
            vector_id=vector_id,
            top_k=top_k,
            namespace=namespace,
            filter=filter,
            return_values=return_values,
            return_metadata=return_metadata,
        )

    def get_by_ids(self, index_name: str, ids: Iterable[str]) -> list[m.Vector]:
        """The vectors with these ids, 20 a request; missing ones are absent."""
        return self.client.get_by_ids(index_name, ids)

    def delete_by_ids(self, index_name: str, ids: Iterable[str]) -> list[m.Mutation]:
        """Delete the vectors with these ids, 100 a request, one mutation each."""
        return self.client.delete_by_ids(index_name, ids)

    def list_vectors(self, index_name: str) -> Iterator[str]:
        """All ids of an index, page by page; starts over, and says so, where the listing's cursor expires."""
        return self.client.list_vectors(index_name)

    # ---------------------------------------------------------------- metadata indexes

    def create_metadata_index(self, index_name: str, property_name: str, index_type: m.MetadataIndexType) -> m.Mutation:
        """Make a property filterable, for vectors written once the metadata index is visible."""
        return self.client.create_metadata_index(index_name, property_name, index_type)

    def delete_metadata_index(self, index_name: str, property_name: str) -> m.Mutation:
        """Stop filtering by a property."""
        return self.client.delete_metadata_index(index_name, property_name)

    def list_metadata_indexes(self, index_name: str) -> list[m.MetadataIndex]:
        """The metadata indexes of an index."""
        return self.client.list_metadata_indexes(index_name)

    # ---------------------------------------------------------------- loading

    def load(
        self,
        index_name: str,
        source: str | Sequence[str],
        *,
        operation: m.Operation = "upsert",
        source_conn_id: str | None = None,
        validation: Validation = "full",
        float32_text: Float32Text = "auto",
        unparsable_behavior: m.UnparsableBehavior = "error",
        on_bad_row: Literal["fail", "dead_letter"] = "fail",
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
        :param dead_letter_path: the ndjson file for bad rows, at the same storage; replaced if it is there, and empty
            if no row is bad.
        :param max_bad_rows: with more than this the load fails.
        :param max_in_flight: requests under way at a time. Rows with the same id keep their order all the same.
        :param checkpoints: where to keep how far the load came; without it a retry starts over.
        :param identity: what else makes it this load, by name: if one changes, a retry starts over. With it the
            checkpoint of a finished load is kept, and the same load again sends nothing; without it, it is cleared.
        :return: the receipt, JSON-plain: ``mutation_id`` (of the last batch), ``mutation_ids``, ``index_name``,
            ``operation``, ``vectors``, ``batches``, ``bytes_sent``, ``rejected``, ``accepted_at``; and
            ``sent_after``, ``samples`` and ``sealed``, which the wait needs.
        :raises SourceError: an object is missing, cut off or changed, or nothing matches, or there are no rows.
        :raises BadRowError: a bad row, with its object, line and byte.
        :raises ApiError: what Vectorize said; :attr:`progress` tells what it had accepted before.
        """
        if max_in_flight < 1:
            raise ConfigError(f"max_in_flight has to be 1 or more, not {max_in_flight}.")
        if on_bad_row not in ("fail", "dead_letter"):
            raise ConfigError(f"on_bad_row has to be 'fail' or 'dead_letter', not {on_bad_row!r}.")
        if unparsable_behavior not in ("error", "discard"):
            raise ConfigError(f"unparsable_behavior has to be 'error' or 'discard', not {unparsable_behavior!r}.")
        if (on_bad_row == "dead_letter") != bool(dead_letter_path):
            raise ConfigError("on_bad_row='dead_letter' and a dead_letter_path go together: give both or neither.")
        letters = DeadLetters(storage.StoredFile(dead_letter_path, source_conn_id)) if dead_letter_path else None
        options = LoadOptions(
            validation=validation,
            float32_text=float32_text,
            unparsable_behavior=unparsable_behavior,
            dead_letters=letters,
            max_bad_rows=max_bad_rows,
            max_in_flight=max_in_flight,
            limits=self.limits,
        )
        with self.get_conn() as client:
            self._loading = client
            objects = storage.find(source, source_conn_id)
            self.log.info("Index %s, %s of %s.", index_name, operation, _described(objects))
            index = client.get_index(index_name)
            receipt = run(
                client, operation, index, objects, options, checkpoints, identity or {}, LoadMetrics(index_name)
            )
        self.loaded = lineage.Loaded(
            account_id=client.credentials.account_id,
            dimensions=index.config.dimensions,
            metric=index.config.metric,
            objects=[(whole(item.uri), item.size) for item in objects],
            dead_letters=letters.target.uri if letters and receipt.rejected else None,
            receipt=receipt,
        )
        lineage.collect(self, self.loaded)
        self.log.info(
            "%s vectors acknowledged, batches: %d (%.1f MB), rows rejected: %d, last mutation: %s",
            f"{receipt.vectors:,}",
            receipt.batches,
            receipt.bytes_sent / 1e6,
            receipt.rejected,
            receipt.mutation_id,
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
        with self.get_conn() as client:
            objects = storage.find(source, source_conn_id)
            seen = survey(objects)
            info = client.get_index_info(index_name)
            ids = seen.ids(self.limits.ids_per_get)
            there = {vector.id for vector in client.get_by_ids(index_name, ids)} if info.vector_count and ids else ()
            found = plan(
                objects,
                seen,
                shards=shards,
                room=max(0, self.limits.vectors_per_index - info.vector_count),
                share_new=1 - len(there) / len(ids) if ids else 1.0,
                quota=client.pacer.quota,
                reserve=client.pacer.reserve,
                mb_per_second=mb_per_second,
                limits=self.limits,
            )
        self.log.info("Plan for index %s: %s", index_name, found.told())
        return found

    def stop(self) -> None:
        """End a :meth:`load` that another thread or a signal handler wants to end; it raises soon after."""
        client: VectorizeClient | None = getattr(self, "_loading", None)
        if client is not None:
            client.stop()


def _ndjson(vectors: bytes | Iterable[m.Vector | Mapping[str, Any]]) -> bytes:
    if isinstance(vectors, bytes):
        return vectors
    rows = (v.to_dict() if isinstance(v, m.Vector) else dict(v) for v in vectors)
    try:
        return b"".join(json.dumps(row, allow_nan=False).encode() + b"\n" for row in rows)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"A vector cannot be written as JSON: {error}.") from None


def _described(objects: Sequence[storage.StoredObject]) -> str:
    count = f"{len(objects)} object{'s' if len(objects) > 1 else ''}"
    size = sum(item.size or 0 for item in objects) / 1e6
    return f"{count}, {size:,.1f} MB as stored, {'the first ' if len(objects) > 1 else ''}{objects[0].uri}"
