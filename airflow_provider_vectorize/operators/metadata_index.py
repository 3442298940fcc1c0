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
    """Make a metadata property filterable, for vectors that are written once the metadata index is visible.

    Vectors that were there before are *not* found by a filter on it: create it first, wait for it with a
    ``VectorizeMutationSensor``, then load. An index has room for ten.

    Creating it once more is no error for Vectorize, so a run every night and a retry end well.

    Returned to XCom, and each key on its own: ``operation`` ("create_metadata_index"), ``index_name``,
    ``mutation_id``, ``accepted_at`` and ``created_on`` (of the index).

    :param index_name: the index. (templated)
    :param property_name: the property; a dot leads into nested metadata. (templated)
    :param index_type: ``string`` (its first 64 bytes count), ``number`` or ``boolean``. (templated)
    :param limits: Cloudflare's limits, where your account's differ. For its ``late_seconds`` a second attempt waits
        before it writes, and a task whose request got no answer waits before it finishes.
    :param vectorize_conn_id: the connection to Vectorize. (templated)
    """

    template_fields: Sequence[str] = ("index_name", "property_name", "index_type", "vectorize_conn_id")
    parameter_checks: ClassVar[Mapping[str, Check]] = METADATA_INDEX_CHECKS
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
        """Create the metadata index, and return what was accepted."""
        with self.on_index(context), self.open_client(context) as client:
            mutation = client.create_metadata_index(self.index_name, self.property_name, self.index_type)
        self.log.info(
            'Vectorize acknowledged the creation of the %s metadata index on "%s" of index "%s" (mutation %s).',
            self.index_type,
            self.property_name,
            self.index_name,
            mutation.mutation_id,
        )
        return _receipt("create_metadata_index", self.index_name, mutation)


class VectorizeDeleteMetadataIndexOperator(IndexTask, WritingOperator):
    """Stop filtering by a metadata property. From then on a filter on it matches nothing, without an error.

    A retry ends well, also where the first attempt deleted it and never heard of it.

    Returned to XCom, and each key on its own: ``operation`` ("delete_metadata_index"), ``index_name``,
    ``mutation_id``, ``accepted_at`` and ``created_on`` (of the index). Where there was nothing to delete, the mutation
    is a marker, so that a sensor also waits for a deletion of an earlier attempt that lost its response.

    :param index_name: the index. (templated)
    :param property_name: the property. (templated)
    :param if_missing: ``skip``: a metadata index that is gone is what was wanted, and says so in the log. ``fail`` if
        there has to be one; then a retry after a killed attempt may fail for a deletion that went well. (templated)
    :param limits: Cloudflare's limits, where your account's differ. For its ``late_seconds`` a second attempt waits
        before it writes, and a task whose request got no answer waits before it finishes.
    :param vectorize_conn_id: the connection to Vectorize. (templated)
    :raises MetadataIndexNotFoundError: there is none, and ``if_missing`` is ``fail``.
    """

    template_fields: Sequence[str] = ("index_name", "property_name", "if_missing", "vectorize_conn_id")
    parameter_checks: ClassVar[Mapping[str, Check]] = {"if_missing": one_of("skip", "fail")}
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
        """Delete the metadata index, and return what was accepted."""
        with self.on_index(context), self.open_client(context) as client:
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
                # An earlier attempt may have deleted it and lost the response: the marker lets the sensor wait for it.
                mutation = client.send_marker(self.index_name)
            else:
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
