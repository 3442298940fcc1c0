"""The operator that queries an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider_vectorize.api.arguments import QUERY_CHECKS
from airflow_provider_vectorize.api.models import ReturnMetadata
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.operators.base import IndexTask
from airflow_provider_vectorize.parameters import Check
from airflow_provider_vectorize.quantities import pluralize


class VectorizeQueryOperator(IndexTask, BaseOperator):
    """Find the vectors that are nearest to a given vector, or to the stored vector with a given ID.

    Returns ``count`` and ``matches``. The best match comes first. A match has ``id`` and ``score``, and ``values``,
    ``metadata`` and ``namespace`` if they were requested and exist. For cosine a higher score is nearer, for euclidean
    0 is identical, and for dot-product a smaller score is nearer. Each key is also pushed to XCom separately.

    Queries find new vectors only after they are visible. Wait for that with a ``VectorizeMutationSensor``. A retry
    sends the query again.

    :param index_name: Name of the index. (templated)
    :param vector: As many floats as the index has dimensions, or the output of a task. Pass either this or
        ``vector_id``. (templated)
    :param vector_id: ID of a stored vector. (templated)
    :param top_k: Maximum number of matches, 1 to 100, or to 50 with values or all metadata. Default: 5. (templated)
    :param namespace: Search in this namespace only. (templated)
    :param filter: Conditions on properties that have a metadata index, for example
        ``{"year": {"$gte": 2020}, "lang": "en"}``. A value is compared as the type of the metadata index. If nothing
        matches because a property has no metadata index, the task logs a warning. (templated)
    :param return_values: Return the values of each match. (templated)
    :param return_metadata: ``none``, ``indexed`` (only properties with a metadata index, strings truncated to 64
        bytes) or ``all``. (templated)
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``. (templated)
    :raises InvalidQueryError: ``top_k`` exceeds a limit or the filter is invalid, in which case nothing is sent, or
        the vector has the wrong number of dimensions.
    """

    template_fields: Sequence[str] = (
        "index_name",
        "vector",
        "vector_id",
        "top_k",
        "namespace",
        "filter",
        "return_values",
        "return_metadata",
        "vectorize_conn_id",
    )
    parameter_checks: ClassVar[Mapping[str, Check]] = QUERY_CHECKS
    template_fields_renderers: ClassVar[dict[str, str]] = {"vector": "json", "filter": "json"}
    ui_color = "#e8e0f7"

    def __init__(
        self,
        *,
        index_name: str,
        vector: Sequence[float] | None = None,
        vector_id: str | None = None,
        top_k: int = 5,
        namespace: str | None = None,
        filter: Mapping[str, Any] | None = None,
        return_values: bool = False,
        return_metadata: ReturnMetadata = "none",
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.index_name = index_name
        self.vector = vector
        self.vector_id = vector_id
        self.top_k = top_k
        self.namespace = namespace
        self.filter = filter
        self.return_values = return_values
        self.return_metadata = return_metadata
        self.vectorize_conn_id = vectorize_conn_id
        self.check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Query the index, and return the matches as dicts."""
        with self.checked_execution(context), VectorizeHook(self.vectorize_conn_id).get_conn() as client:
            result = client.query(
                self.index_name,
                vector=self.vector,
                vector_id=self.vector_id,
                top_k=self.top_k,
                namespace=self.namespace,
                filter=self.filter,
                return_values=self.return_values,
                return_metadata=self.return_metadata,
            )
        self.log.info('Found %s in index "%s".', pluralize(result.count, "match", "matches"), self.index_name)
        return {"count": result.count, "matches": [match.to_dict() for match in result.matches]}
