"""Operators for vectors by their ids: delete them, get them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider_vectorize import parameters, storage
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.errors import ConfigError, VectorsNotFoundError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.load.deletion import LinesAre, delete, read_ids
from airflow_provider_vectorize.operators.base import IndexTask, WritingOperator
from airflow_provider_vectorize.quantities import pluralize


class VectorizeDeleteVectorsOperator(IndexTask, WritingOperator):
    """Delete vectors by their ids: a list of them, or a source that is streamed, 100 ids a request.

    When the task is green, Vectorize has acknowledged every id; ids that are not there do not matter. The vectors
    are gone from queries some seconds to minutes later: pass the task's output to a ``VectorizeMutationSensor``.

    A retry starts over with the first id, which is safe: deleting is idempotent. No ids at all (an empty list or
    source) is a success with ``vectors`` 0 and no mutation id.

    Returned to XCom, and each key on its own: ``operation`` ("delete"), ``index_name``, ``mutation_id`` (of the last
    request), ``mutation_ids`` (at most the last 1,000), ``vectors`` (ids sent), ``batches``, ``accepted_at``,
    ``sent_after`` and ``samples`` (for the sensor), ``existing_of_first`` (``ids``: how many of the first ids were
    looked up before the deletion, at most 20; ``existing``: how many of those the index had). If it had none of them,
    the log warns: a deletion of ids that do not exist is a success, also where a file spells them differently.

    :param index_name: the index. (templated)
    :param ids: a list of ids, or the output of a task that made one; for more than some thousand use a source. Or
        (templated)
    :param source: a URI (``s3://``, ``gs://``, ``abfs://``, ``file://``), a path, a glob, or a list of them; ``.gz``
        and ``.zst`` by name. (templated)
    :param source_lines_are: with a source, what its lines are: ``ids``, the bare id on each line; or ``vectors``,
        ndjson as it was loaded once, of which only the ``id`` is looked at. Spaces around a bare id do not count. A
        bare id has no quotes or brackets around it, and no comma, semicolon, tab or other control character in
        it, so that no list, table or other encoding passes for ids: write other ids as ``{"id": "…"}``. (templated)
    :param source_conn_id: the storage's connection. (templated)
    :param limits: Cloudflare's limits, where your account's differ. For its ``late_seconds`` a second attempt waits
        before it writes, and a task whose request got no answer waits before it finishes.
    :param vectorize_conn_id: the connection to Vectorize. (templated)
    :raises BadRowError: a line of the source holds no id; with object, line and byte.
    :raises SourceError: an object is missing, cut off or changed, or nothing matches.
    :raises ApiError: what Vectorize said; its text tells what was acknowledged before.
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
        """Delete the vectors, and return what was acknowledged."""
        with self.on_index(context), self.open_client(context) as client:
            receipt = delete(client, self.index_name, self._ids())
        sample = receipt["existing_of_first"]
        self.log.info(
            'Vectorize acknowledged the deletion of %s from index "%s" in %s (last mutation %s). Of the first %s, %d '
            "existed.",
            pluralize(receipt["vectors"], "id"),
            self.index_name,
            pluralize(receipt["batches"], "request"),
            receipt["mutation_id"],
            pluralize(sample["ids"], "id"),
            sample["existing"],
        )
        return receipt

    def _ids(self) -> Iterable[str]:
        if (self.ids is None) == (self.source is None):
            raise ConfigError("Vectors are deleted either by ids or by a source: give one of them.")
        if self.source is None:
            return parameters.ids("ids", self.ids)
        source = parameters.paths("source", self.source)
        conn_id = parameters.optional(parameters.text, empty_is_none=True)("source_conn_id", self.source_conn_id)
        if self.source_lines_are is None:
            raise ConfigError("source_lines_are has to say what the lines of the source are: 'ids' or 'vectors'.")
        return read_ids(storage.find(source, conn_id), self.source_lines_are)


class VectorizeGetVectorsOperator(IndexTask, BaseOperator):
    """Get vectors by their ids, 20 a request. They travel by XCom, so this is for a few.

    Returned to XCom: a list of vectors in the order of ``ids``, each with ``id``, ``values`` (the float32 that
    Vectorize keeps) and, where they are there, ``namespace`` and ``metadata``. A retry asks again.

    :param index_name: the index. (templated)
    :param ids: a list of ids, or the output of a task that made one. (templated)
    :param if_missing: ``fail`` and name the ids that are not there (or not yet: wait with a
        ``VectorizeMutationSensor`` first), or ``skip`` them. (templated)
    :param vectorize_conn_id: the connection to Vectorize. (templated)
    :raises VectorsNotFoundError: some are not there, and ``if_missing`` is ``fail``.
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
        """Get the vectors, and return them as plain dicts."""
        with self.on_index(context), VectorizeHook(self.vectorize_conn_id).get_conn() as client:
            ids = list(dict.fromkeys(parameters.ids("ids", self.ids)))
            found = {vector.id: vector.to_dict() for vector in client.get_by_ids(self.index_name, ids)}
            missing = tuple(vector_id for vector_id in ids if vector_id not in found)
            if missing and self.if_missing == "fail":
                raise VectorsNotFoundError(
                    f'{len(missing)} of {len(ids)} ids are not in index "{self.index_name}", or not visible yet: '
                    f"{', '.join(missing[:10])}{', …' if len(missing) > 10 else ''}.",
                    index_name=self.index_name,
                    ids=missing,
                )
        self.log.info('Found %d of %s in index "%s".', len(found), pluralize(len(ids), "vector"), self.index_name)
        return [found[vector_id] for vector_id in ids if vector_id in found]
