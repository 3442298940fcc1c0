"""Operators that create and delete metadata indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import Context

from airflow_provider_vectorize.api.arguments import METADATA_INDEX_CHECKS
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.models import MetadataIndexType, Mutation
from airflow_provider_vectorize.errors import MetadataIndexNotFoundError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.base import IndexTask, WritingOperator
from airflow_provider_vectorize.parameters import Check, one_of


class VectorizeCreateMetadataIndexOperator(IndexTask, WritingOperator):
    """Make a metadata property filterable for vectors that are written after the metadata index is visible.

    A filter does *not* find vectors that were written before. Create the metadata index first, wait for it with a
    ``VectorizeMutationSensor``, and then load. An index can have ten metadata indexes.

    Safe to retry and to run every night, because Vectorize accepts a metadata index that already exists.

    Returns ``operation`` ("create_metadata_index"), ``index_name``, ``mutation_id``, ``accepted_at`` and
    ``created_on`` (of the index). Each key is also pushed to XCom separately.

    :param index_name: Name of the index. (templated)
    :param property_name: Name of the property. A dot separates levels of nested metadata. (templated)
    :param index_type: ``string`` (the first 64 bytes are indexed), ``number`` or ``boolean``. (templated)
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits. ``late_seconds`` is how long
        a second attempt waits before it writes, and how long a task waits after a request that got no answer.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    """

    template_fields: Sequence[str] = ("index_name", "property_name", "index_type", "vectorize_conn_id")
    parameter_checks: ClassVar[Mapping[str, Check]] = METADATA_INDEX_CHECKS
    writes_mutations: ClassVar[bool] = True
    ui_color = "#fbe0c6"

    def __init__(
        self,
        *,
        index_name: str,
        property_name: str,
        index_type: MetadataIndexType,
        limits: Limits = LIMITS,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.index_name = index_name
        self.property_name = property_name
        self.index_type = index_type
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Create the metadata index, and return the acknowledged mutation."""
        with self.checked_execution(context), self.open_client(context) as client:
            mutation = client.create_metadata_index(self.index_name, self.property_name, self.index_type)
            self.record_operation(change="ALTER")
        self.log.info(
            'Vectorize acknowledged the creation of the %s metadata index on "%s" of index "%s" (mutation %s).',
            self.index_type,
            self.property_name,
            self.index_name,
            mutation.mutation_id,
        )
        return _receipt("create_metadata_index", self.index_name, mutation)


class VectorizeDeleteMetadataIndexOperator(IndexTask, WritingOperator):
    """Delete a metadata index. A filter on its property then matches nothing, without an error.

    Retries are safe with ``if_missing="skip"``, even if the first attempt deleted the metadata index but lost the
    response.

    Returns ``operation`` ("delete_metadata_index"), ``index_name``, ``mutation_id``, ``accepted_at`` and
    ``created_on`` (of the index). Each key is also pushed to XCom separately. If there was nothing to delete, the
    mutation is a marker, so that a sensor also waits for the deletion of an earlier attempt that lost its response.

    :param index_name: Name of the index. (templated)
    :param property_name: Name of the property. (templated)
    :param if_missing: ``skip`` treats a missing metadata index as success and logs it. ``fail`` fails the task. With
        ``fail``, a retry also fails if an earlier attempt deleted the metadata index and was then killed. (templated)
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits. ``late_seconds`` is how long
        a second attempt waits before it writes, and how long a task waits after a request that got no answer.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises MetadataIndexNotFoundError: The metadata index does not exist, and ``if_missing`` is ``fail``.
    """

    template_fields: Sequence[str] = ("index_name", "property_name", "if_missing", "vectorize_conn_id")
    parameter_checks: ClassVar[Mapping[str, Check]] = {"if_missing": one_of("skip", "fail")}
    writes_mutations: ClassVar[bool] = True
    ui_color = "#fbe0c6"

    def __init__(
        self,
        *,
        index_name: str,
        property_name: str,
        if_missing: Literal["skip", "fail"] = "skip",
        limits: Limits = LIMITS,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.index_name = index_name
        self.property_name = property_name
        self.if_missing = if_missing
        self.limits = limits
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete the metadata index, and return the acknowledged mutation."""
        with self.checked_execution(context), self.open_client(context) as client:
            try:
                mutation = client.delete_metadata_index(self.index_name, self.property_name)
            except MetadataIndexNotFoundError as error:
                if self.if_missing == "fail" and not error.maybe_done:
                    raise
                self.log.info(
                    'Skipped the deletion of the metadata index on "%s" of index "%s", which does not exist: %s',
                    self.property_name,
                    self.index_name,
                    error,
                )
                # An earlier attempt may have deleted it and lost the response. A sensor can wait for the marker.
                mutation = client.send_marker(self.index_name)
            else:
                self.record_operation(change="ALTER")
                self.log.info(
                    'Vectorize acknowledged the deletion of the metadata index on "%s" of index "%s" (mutation %s).',
                    self.property_name,
                    self.index_name,
                    mutation.mutation_id,
                )
        return _receipt("delete_metadata_index", self.index_name, mutation)


def _receipt(operation: str, index_name: str, mutation: Mutation) -> dict[str, Any]:
    return {
        "operation": operation,
        "index_name": index_name,
        "mutation_id": mutation["mutation_id"],
        "accepted_at": mutation["accepted_at"],
        "created_on": mutation["created_on"],
    }
