"""Operators that create and delete an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import Context

from airflow_provider_vectorize.api.arguments import INDEX_CHECKS
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.models import Index, Metric
from airflow_provider_vectorize.errors import ConfigError, IndexNotFoundError
from airflow_provider_vectorize.hooks.switch_over import open_pointer
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.base import IndexTask, WritingOperator
from airflow_provider_vectorize.parameters import Check, duration, flag, one_of, optional, text
from airflow_provider_vectorize.switch_over.options import SWITCH_OVER_CHECKS
from airflow_provider_vectorize.switch_over.slots import Shape, create, delete_idle_slot, fill_in


class VectorizeCreateIndexOperator(IndexTask, WritingOperator):
    """Create an index from dimensions and a metric, or from a preset, unless a matching index already exists.

    Safe to run every night: an existing index with the same dimensions and metric is left unchanged. A mismatch fails
    the task, because neither can be changed. For a preset only the dimensions are compared, because Cloudflare does
    not publish the metrics of its presets.

    With ``replace``, an index in the slot is deleted first, unless readers may use it: the index that the pointer names
    and, for ``min_age`` after the publication, the one that it names as ``previous``. An index without the mark of this
    pointer is never deleted. If the pointer cannot be read, nothing is changed.

    Retries are safe, even if the first attempt created the index but lost the response. A retry with ``replace``
    deletes the new index of the first attempt, which is not live, and creates it again.

    Returns ``index_name``, ``dimensions``, ``metric``, ``created`` (whether this task created the index) and
    ``created_on`` (ISO 8601, for the load and the publication). Each key is also pushed to XCom separately.

    :param index_name: Name of the index. (templated)
    :param dimensions: Number of dimensions, 32 to 1,536. It must be that of the embedding model. (templated)
    :param metric: ``cosine``, ``euclidean`` or ``dot-product``. (templated)
    :param preset: Instead of dimensions and metric: an embedding model that Cloudflare knows, for example
        ``@cf/baai/bge-base-en-v1.5``. (templated)
    :param description: Description of the index. It is not compared with that of an existing index. (templated)
    :param if_exists: ``skip`` leaves a matching index unchanged. ``fail`` fails the task if the index exists.
        (templated)
    :param like: Name of an index to copy: dimensions and metric unless they are given, the model of its mark, and all
        metadata indexes. The task ends once these are visible, because they cover only vectors that are written later.
        ``None`` (default) copies nothing, for the first rebuild. (templated)
    :param pointer: Pointer that the index is created for: ``kv://NAMESPACE_ID/KEY``, ``variable://NAME``, or the path
        or URI of an object. The description gets a mark with its URI, without which the index is never replaced or
        pruned. (templated)
    :param model: Name of the embedding model for the mark. A publication copies it into the pointer. (templated)
    :param replace: Delete an index in the slot first. Requires ``pointer``. Default: ``False``. (templated)
    :param min_age: How long the previous index is kept after the live one was published, as a ``timedelta`` or in
        seconds. Default: 1 hour. Readers elsewhere see a new pointer a minute or more later. (templated)
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits. ``late_seconds`` is how long
        a second attempt waits before it writes, and how long a task waits after a request that got no answer.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises InvalidIndexConfigError: The existing index has other dimensions or another metric, or Vectorize refuses
        the requested ones.
    :raises SwitchOverError: The index must not be replaced, or the pointer cannot be read.
    :raises IndexExistsError: The index exists, and ``if_exists`` is ``fail``.
    """

    template_fields: Sequence[str] = (
        "index_name",
        "dimensions",
        "metric",
        "preset",
        "description",
        "if_exists",
        "like",
        "pointer",
        "model",
        "replace",
        "min_age",
        "vectorize_conn_id",
    )
    parameter_checks: ClassVar[Mapping[str, Check]] = INDEX_CHECKS | {
        "if_exists": one_of("skip", "fail"),
        "like": optional(text),
        "pointer": optional(SWITCH_OVER_CHECKS["pointer"]),
        "model": optional(text),
        "replace": flag,
        "min_age": duration,
    }
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
        like: str | None = None,
        pointer: str | None = None,
        model: str | None = None,
        replace: bool = False,
        min_age: timedelta | float = timedelta(hours=1),
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
        self.like = like
        self.pointer = pointer
        self.model = model
        self.replace = replace
        self.min_age = min_age
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Create the index unless a matching index exists, and return its dimensions and metric."""
        with self.checked_execution(context), self.open_client(context) as client:
            index, created = self._create(client)
            self.record_operation(change="CREATE" if created else "", **index.config.model_dump())
        self.log.info(
            'Created index "%s" with %d dimensions and the metric %s.'
            if created
            else 'Index "%s" already exists with %d dimensions and the metric %s. Nothing was created.',
            index.name,
            index.config.dimensions,
            index.config.metric,
        )
        created_on = index.created_on.isoformat() if index.created_on else None
        return {"index_name": index.name, **index.config.model_dump(), "created": created, "created_on": created_on}

    def _create(self, client: VectorizeClient) -> tuple[Index, bool]:
        store = open_pointer(client, self.pointer) if self.pointer else None
        replaces = flag("replace", self.replace)
        if replaces and (store is None or self.if_exists != "skip"):
            raise ConfigError(
                "replace=True requires a pointer, which says whether readers use the index, and no if_exists."
            )
        if self.like == self.index_name:
            raise ConfigError(f'like names the index "{self.index_name}" itself. Name another index.')
        shape = Shape(self.dimensions, self.metric, self.preset, self.description, self.model)
        if self.like:
            shape = fill_in(client, shape, self.like)
        if replaces and store:
            delete_idle_slot(client, store, self.index_name, duration("min_age", self.min_age))
        # After a replacement, an index that exists belongs to another run.
        if_exists = "fail" if replaces else self.if_exists
        return create(client, self.index_name, shape, store.uri if store else None, if_exists=if_exists)


class VectorizeDeleteIndexOperator(IndexTask, WritingOperator):
    """Delete an index with all its vectors. This cannot be undone. The name can be used again immediately.

    Retries are safe with ``if_missing="skip"``, even if the first attempt deleted the index but lost the response.

    Returns ``index_name`` and ``deleted`` (whether this task deleted the index). Each key is also pushed to XCom
    separately.

    :param index_name: Name of the index. (templated)
    :param if_missing: ``skip`` treats a missing index as success and logs it. ``fail`` fails the task. With ``fail``,
        a retry also fails if an earlier attempt deleted the index and was then killed. (templated)
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits. ``late_seconds`` is how long
        a second attempt waits before it writes, and how long a task waits after a request that got no answer.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises IndexNotFoundError: The index does not exist, and ``if_missing`` is ``fail``.
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
        """Delete the index, and return whether this task deleted it."""
        with self.checked_execution(context), self.open_client(context) as client:
            try:
                client.delete_index(self.index_name)
            except IndexNotFoundError as error:
                if self.if_missing == "fail":
                    raise
                self.log.info('Skipped the deletion of index "%s", which does not exist: %s', self.index_name, error)
                return {"index_name": self.index_name, "deleted": False}
            self.record_operation(change="DROP")
        self.log.info('Deleted index "%s" with all its vectors.', self.index_name)
        return {"index_name": self.index_name, "deleted": True}
