"""Operators that switch readers from one index to another, and delete old indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import Context

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.hooks.switch_over import open_pointer
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.base import CheckedTask, IndexTask, WritingOperator
from airflow_provider_vectorize.parameters import Check, check_values
from airflow_provider_vectorize.switch_over.options import SWITCH_OVER_CHECKS
from airflow_provider_vectorize.switch_over.prune import prune_unused
from airflow_provider_vectorize.switch_over.publish import publish_index


class VectorizePublishOperator(IndexTask, WritingOperator):
    """Publish an index: make the pointer, which readers read, name it. The previous index stays for a rollback.

    The task succeeds without a write if the pointer names the index already. Otherwise it checks that the pointer is
    what ``expect`` says and that the index exists, writes the pointer in one request, reads it back, and checks the
    index again. It is safe against everything but a second publisher at the same moment, because Workers KV cannot
    compare and set: use one publishing DAG, with ``max_active_runs=1``.

    A rollback is the same operator with the previous index.

    Retries are safe, also after a kill. A failed task says whether the pointer was written.

    Returns ``index_name`` and ``previous`` (``None`` if nothing was live before). Each key is also pushed to XCom
    separately.

    :param pointer: ``kv://NAMESPACE_ID/KEY`` (Workers KV, with the connection's token), ``variable://NAME`` (an Airflow
        Variable), or the path or URI of an object. Its value is a JSON object with ``index``, ``previous``,
        ``published_at`` and ``model`` (from the mark of the index). (templated)
    :param index_name: Index that readers shall use. (templated)
    :param expect: Index that has to be live now. ``None`` if nothing may be published yet. Any other state of the
        pointer fails the task, because another run or a person has moved it. (templated)
    :param created_on: The ``created_on`` that :class:`~.operators.index.VectorizeCreateIndexOperator` returned. The
        task fails if the index was created again since. Without it, only the previous index and the first index of a
        new pointer can be published, because any other may be incomplete. (templated)
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits. ``late_seconds`` is how long
        a second attempt waits before it writes, and how long a task waits after a request that got no answer.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises SwitchOverError: The publication was refused, or the written pointer does not read back.
    :raises IndexNotFoundError: The index does not exist. Nothing was written.
    """

    template_fields: Sequence[str] = ("pointer", "index_name", "expect", "created_on", "vectorize_conn_id")
    parameter_checks: ClassVar[Mapping[str, Check]] = {
        name: SWITCH_OVER_CHECKS[name] for name in ("pointer", "expect", "created_on")
    }
    ui_color = "#fbe0c6"

    def __init__(
        self,
        *,
        pointer: str,
        index_name: str,
        expect: str | None,
        created_on: str | None = None,
        limits: Limits = LIMITS,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.pointer = pointer
        self.index_name = index_name
        self.expect = expect
        self.created_on = created_on
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the pointer, read it back, and return the live and the previous index."""
        with self.checked_execution(context), self.open_client(context) as client:
            values = check_values(SWITCH_OVER_CHECKS, expect=self.expect, created_on=self.created_on)
            return publish_index(client, open_pointer(client, self.pointer), self.index_name, **values)


class VectorizePruneIndexesOperator(CheckedTask, WritingOperator):
    """Delete the old indexes of a pointer, with all their vectors. This cannot be undone.

    An index is deleted only if its name starts with ``prefix``, its description has the mark of exactly this pointer,
    it was created at least ``min_age`` ago, and it is not among the newest ``keep`` of them. The live index and the
    previous one are never deleted. The pointer is read again right before each deletion. If it cannot be read, does
    not exist, or names an index that does not exist, the task fails.

    Retries are safe. Indexes that were deleted before a failure stay deleted.

    Returns the names of the deleted indexes.

    :param prefix: What the names start with, for example ``docs-``. (templated)
    :param pointer: As for :class:`VectorizePublishOperator`. (templated)
    :param keep: Number of the newest indexes to keep, at least 1. Default: 2. (templated)
    :param min_age: Minimum age of an index, as a ``timedelta`` or in seconds, so that no index is deleted while a
        rebuild loads it. It must exceed the duration of a rebuild. Default: 1 day. (templated)
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits. ``late_seconds`` is how long
        a second attempt waits before it writes, and how long a task waits after a request that got no answer.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises SwitchOverError: The pointer cannot be read, or it or its index does not exist.
    """

    template_fields: Sequence[str] = ("prefix", "pointer", "keep", "min_age", "vectorize_conn_id")
    parameter_checks: ClassVar[Mapping[str, Check]] = {
        name: SWITCH_OVER_CHECKS[name] for name in ("prefix", "pointer", "keep", "min_age")
    }
    ui_color = "#fbe0c6"

    def __init__(
        self,
        *,
        prefix: str,
        pointer: str,
        keep: int = 2,
        min_age: timedelta | float = timedelta(days=1),
        limits: Limits = LIMITS,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prefix = prefix
        self.pointer = pointer
        self.keep = keep
        self.min_age = min_age
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> list[str]:
        """Delete the indexes, and return their names."""
        with self.checked_execution(context), self.open_client(context) as client:
            values = check_values(SWITCH_OVER_CHECKS, prefix=self.prefix, keep=self.keep, min_age=self.min_age)
            return prune_unused(client, open_pointer(client, self.pointer), **values)
