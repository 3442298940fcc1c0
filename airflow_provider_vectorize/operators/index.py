"""Operators that create and delete an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import Context

from airflow_provider_vectorize.api.arguments import INDEX_CHECKS
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.models import Metric
from airflow_provider_vectorize.errors import IndexNotFoundError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.base import IndexTask, WritingOperator
from airflow_provider_vectorize.parameters import Check, one_of


class VectorizeCreateIndexOperator(IndexTask, WritingOperator):
    """Create an index, from a preset or from dimensions and a metric, unless one that agrees is there.

    A run every night ends well: an index that is there, with the same dimensions and metric, is left as it is. One
    with others fails the task, since neither can be changed. Of a preset only the dimensions are compared:
    Cloudflare does not publish the metrics that its presets stand for.

    A retry ends well, too, also where the first attempt created the index and never heard of it.

    Returned to XCom, and each key on its own: ``index_name``, ``dimensions``, ``metric`` and ``created`` (whether
    this task did).

    :param index_name: its name. (templated)
    :param dimensions: 32 to 1,536, as the embedding model has. (templated)
    :param metric: ``cosine``, ``euclidean`` or ``dot-product``. (templated)
    :param preset: instead of dimensions and metric, a model that Cloudflare knows, for instance
        ``@cf/baai/bge-base-en-v1.5``. (templated)
    :param description: what the index is for. It is not compared with that of an index that is there. (templated)
    :param if_exists: ``skip`` the creation if the index that is there agrees, or ``fail`` whatever is there.
        (templated)
    :param limits: Cloudflare's limits, where your account's differ. For its ``late_seconds`` a second attempt waits
        before it writes, and a task whose request got no answer waits before it finishes.
    :param vectorize_conn_id: the connection to Vectorize. (templated)
    :raises InvalidIndexConfigError: an index of that name has other dimensions or another metric; or Vectorize
        refuses the ones given.
    :raises IndexExistsError: there is one already, and ``if_exists`` is ``fail``.
    """

    template_fields: Sequence[str] = (
        "index_name",
        "dimensions",
        "metric",
        "preset",
        "description",
        "if_exists",
        "vectorize_conn_id",
    )
    parameter_checks: ClassVar[Mapping[str, Check]] = INDEX_CHECKS | {"if_exists": one_of("skip", "fail")}
    ui_color = "#fbe0c6"

    def __init__(
        self,
        *,
        index_name: str,
        dimensions: int | None = None,
        metric: Metric | None = None,
        preset: str | None = None,
        description: str | None = None,
        if_exists: Literal["skip", "fail"] = "skip",
        limits: Limits = LIMITS,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.index_name = index_name
        self.dimensions = dimensions
        self.metric = metric
        self.preset = preset
        self.description = description
        self.if_exists = if_exists
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Create the index unless a matching one exists, and return its shape."""
        shape: dict[str, Any] = {"dimensions": self.dimensions, "metric": self.metric, "preset": self.preset}
        with self.on_index(context), self.open_client(context) as client:
            if self.if_exists == "skip":
                index, created = client.ensure_index(self.index_name, **shape, description=self.description)
            else:
                index, created = client.create_index(self.index_name, **shape, description=self.description), True
        self.log.info(
            'Created index "%s" with %d dimensions and the metric %s.'
            if created
            else 'Index "%s" already exists with %d dimensions and the metric %s. Nothing was created.',
            index.name,
            index.config.dimensions,
            index.config.metric,
        )
        return {"index_name": index.name, **index.config.model_dump(), "created": created}


class VectorizeDeleteIndexOperator(IndexTask, WritingOperator):
    """Delete an index with all its vectors. This cannot be undone; the name is free at once.

    A retry ends well, also where the first attempt deleted the index and never heard of it.

    Returned to XCom, and each key on its own: ``index_name`` and ``deleted`` (whether this task did).

    :param index_name: its name. (templated)
    :param if_missing: ``skip``: an index that is gone is what was wanted, and says so in the log. ``fail`` if
        there has to be one; then a retry after a killed attempt may fail for a deletion that went well. (templated)
    :param limits: Cloudflare's limits, where your account's differ. For its ``late_seconds`` a second attempt waits
        before it writes, and a task whose request got no answer waits before it finishes.
    :param vectorize_conn_id: the connection to Vectorize. (templated)
    :raises IndexNotFoundError: there is none, and ``if_missing`` is ``fail``.
    """

    template_fields: Sequence[str] = ("index_name", "if_missing", "vectorize_conn_id")
    parameter_checks: ClassVar[Mapping[str, Check]] = {"if_missing": one_of("skip", "fail")}
    ui_color = "#fbe0c6"

    def __init__(
        self,
        *,
        index_name: str,
        if_missing: Literal["skip", "fail"] = "skip",
        limits: Limits = LIMITS,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.index_name = index_name
        self.if_missing = if_missing
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete the index, and return whether this task did."""
        with self.on_index(context), self.open_client(context) as client:
            try:
                client.delete_index(self.index_name)
            except IndexNotFoundError as error:
                if self.if_missing == "fail":
                    raise
                self.log.info('Skipped the deletion of index "%s", which does not exist: %s', self.index_name, error)
                return {"index_name": self.index_name, "deleted": False}
        self.log.info('Deleted index "%s" with all its vectors.', self.index_name)
        return {"index_name": self.index_name, "deleted": True}
