"""Operators that delete or fetch vectors by ID."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider_vectorize import parameters, storage
from airflow_provider_vectorize.airflow_support.lineage import ReadObject, set_event_extras
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.errors import ConfigError, VectorsNotFoundError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.load.deletion import LinesAre, delete, read_ids
from airflow_provider_vectorize.operators.base import IndexTask, WritingOperator
from airflow_provider_vectorize.quantities import pluralize


class VectorizeDeleteVectorsOperator(IndexTask, WritingOperator):
    """Delete vectors by ID, 100 IDs per request. The IDs come from a list, or from a source that is streamed.

    The task succeeds after Vectorize has acknowledged every ID. IDs that do not exist in the index are ignored.
    Queries stop finding the vectors some seconds to minutes later. Pass the task's output to a
    ``VectorizeMutationSensor`` to wait for that.

    A retry starts over with the first ID, which is safe because deleting is idempotent. An empty list or source is a
    success with ``vectors`` 0 and no mutation ID.

    Returns ``operation`` ("delete"), ``index_name``, ``mutation_id`` (of the last request), ``mutation_ids`` (at most
    the last 1,000), ``vectors`` (number of IDs sent), ``batches``, ``accepted_at``, ``sent_after`` and ``samples`` (for
    the sensor), and ``existing_of_first`` (``ids``: how many of the first IDs were looked up before the deletion, at
    most 20. ``existing``: how many of those existed). Each key is also pushed to XCom separately. If none of the first
    IDs existed, the task logs a warning, because the file may spell them differently.

    If the ``outlets`` contain the asset ``vectorize://<account id>/<index name>``, its event carries the receipt.
    OpenLineage receives the objects and the index.

    :param index_name: Name of the index. (templated)
    :param ids: List of IDs, or the output of a task. Pass either this or ``source``. Use a source for more than some
        thousand IDs. (templated)
    :param source: A URI (``s3://``, ``gs://``, ``abfs://``, ``file://``), a path, a glob, or a list of them. Objects
        whose names end in ``.gz`` or ``.zst`` are decompressed. (templated)
    :param source_lines_are: Required with a source. ``ids``: each line is a bare ID. ``vectors``: each line is a JSON
        object, of which only the ``id`` is read. Spaces around a bare ID are ignored. A bare ID must not start with a
        quote or a bracket, nor contain a comma, a semicolon, a tab or another control character, so that lists,
        tables and other encodings are not mistaken for IDs. Write such IDs as ``{"id": "…"}``. (templated)
    :param source_conn_id: Connection of the storage, unless the source names one. (templated)
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits. ``late_seconds`` is how long
        a second attempt waits before it writes, and how long a task waits after a request that got no answer.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises BadRowError: A line of the source contains no ID. The error names the object, line and byte.
    :raises SourceError: An object is missing, truncated or changed, or no object matches.
    :raises ApiError: A request failed. The message reports what was acknowledged before.
    """

    template_fields: Sequence[str] = (
        "index_name",
        "ids",
        "source",
        "source_lines_are",
        "source_conn_id",
        "vectorize_conn_id",
    )
    parameter_checks: ClassVar[Mapping[str, parameters.Check]] = {
        "source_lines_are": parameters.optional(parameters.one_of(*get_args(LinesAre)))
    }
    writes_mutations: ClassVar[bool] = True
    ui_color = "#fbd3cd"

    def __init__(
        self,
        *,
        index_name: str,
        ids: Sequence[str] | None = None,
        source: str | Sequence[str] | None = None,
        source_lines_are: LinesAre | None = None,
        source_conn_id: str | None = None,
        limits: Limits = LIMITS,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.index_name = index_name
        self.ids = ids
        self.source = source
        self.source_lines_are = source_lines_are
        self.source_conn_id = source_conn_id
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete the vectors, and return the receipt."""
        with self.checked_execution(context), self.open_client(context) as client:
            receipt = delete(client, self.index_name, self._ids())
        set_event_extras(context, self.outlets, self.record_operation().asset_uri, receipt)
        sample = receipt["existing_of_first"]
        self.log.info(
            'Vectorize acknowledged the deletion of %s from index "%s" in %s (last mutation %s). Of the first %s, %d '
            "existed.",
            pluralize(receipt["vectors"], "ID"),
            self.index_name,
            pluralize(receipt["batches"], "request"),
            receipt["mutation_id"],
            pluralize(sample["ids"], "ID"),
            sample["existing"],
        )
        return receipt

    def _ids(self) -> Iterable[str]:
        if (self.ids is None) == (self.source is None):
            raise ConfigError("Pass either ids or source to select the vectors to delete.")
        if self.source is None:
            return parameters.ids("ids", self.ids)
        source = parameters.paths("source", self.source)
        conn_id = parameters.optional(parameters.text, empty_is_none=True)("source_conn_id", self.source_conn_id)
        if self.source_lines_are is None:
            raise ConfigError("source_lines_are is required with a source: 'ids' or 'vectors'.")
        objects = storage.find(source, conn_id)
        self.record_operation(inputs=[ReadObject(one.location, one.size) for one in objects])
        return read_ids(objects, self.source_lines_are)


class VectorizeGetVectorsOperator(IndexTask, BaseOperator):
    """Get vectors by ID, 20 per request. The vectors go through XCom, so use this operator for a few vectors only.

    Returns a list of vectors in the order of ``ids``, each with ``id``, ``values`` (the float32 that Vectorize stores)
    and, if they exist, ``namespace`` and ``metadata``. A retry reads the vectors again.

    :param index_name: Name of the index. (templated)
    :param ids: List of IDs, or the output of a task. (templated)
    :param if_missing: ``fail`` fails the task and names the IDs that do not exist, or are not visible yet (wait with a
        ``VectorizeMutationSensor`` first). ``skip`` leaves them out. (templated)
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises VectorsNotFoundError: An ID does not exist or is not visible yet, and ``if_missing`` is ``fail``.
    """

    template_fields: Sequence[str] = ("index_name", "ids", "if_missing", "vectorize_conn_id")
    parameter_checks: ClassVar[Mapping[str, parameters.Check]] = {"if_missing": parameters.one_of("fail", "skip")}
    ui_color = "#e8e0f7"

    def __init__(
        self,
        *,
        index_name: str,
        ids: Sequence[str],
        if_missing: Literal["fail", "skip"] = "fail",
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.index_name = index_name
        self.ids = ids
        self.if_missing = if_missing
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Get the vectors, and return them as dicts."""
        with self.checked_execution(context), VectorizeHook(self.vectorize_conn_id).get_conn() as client:
            ids = list(dict.fromkeys(parameters.ids("ids", self.ids)))
            vectors = {vector.id: vector.to_dict() for vector in client.get_by_ids(self.index_name, ids)}
            missing = tuple(vector_id for vector_id in ids if vector_id not in vectors)
            if missing and self.if_missing == "fail":
                raise VectorsNotFoundError(
                    f'{len(missing)} of {len(ids)} IDs do not exist in index "{self.index_name}" or are not yet '
                    f"visible: {', '.join(missing[:10])}{', …' if len(missing) > 10 else ''}.",
                    index_name=self.index_name,
                    ids=missing,
                )
        self.log.info('Found %d of %s in index "%s".', len(vectors), pluralize(len(ids), "vector"), self.index_name)
        return [vectors[vector_id] for vector_id in ids if vector_id in vectors]
