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
    """Find the vectors nearest to a vector, or to the one with an id.

    Returned to XCom, and each key on its own: ``count`` and ``matches``, best first, each with ``id``, ``score``
    and, where asked for and there, ``values``, ``metadata`` and ``namespace``. Scores: cosine, higher is nearer;
    euclidean, 0 is identical; dot-product, smaller is nearer.

    What was written a moment ago is found only once it is visible: wait with a ``VectorizeMutationSensor``. A retry
    asks again.

    :param index_name: the index. (templated)
    :param vector: as many floats as the index has dimensions, or the output of a task that made them; or
        (templated)
    :param vector_id: the id of a stored vector. (templated)
    :param top_k: matches at the most: 1 to 100, or to 50 with values or all metadata. (templated)
    :param namespace: only vectors of this namespace. (templated)
    :param filter: conditions on metadata properties that have a metadata index, for instance
        ``{"year": {"$gte": 2020}, "lang": "en"}``. A value is compared as the type of the metadata index. If nothing
        matches because a property has no metadata index, the log has a warning. (templated)
    :param return_values: with the vectors themselves. (templated)
    :param return_metadata: ``none``, ``indexed`` (only properties with a metadata index, strings cut at 64 bytes)
        or ``all``. (templated)
    :param vectorize_conn_id: the connection to Vectorize. (templated)
    :raises InvalidQueryError: ``top_k`` is over a limit or the filter is not one that Vectorize takes (nothing is sent
        then), or the vector has the wrong dimensions.
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
        """Query the index, and return plain matches."""
        with self.on_index(context), VectorizeHook(self.vectorize_conn_id).get_conn() as client:
            found = client.query(
                self.index_name,
                vector=self.vector,
                vector_id=self.vector_id,
                top_k=self.top_k,
                namespace=self.namespace,
                filter=self.filter,
                return_values=self.return_values,
                return_metadata=self.return_metadata,
            )
        self.log.info('Found %s in index "%s".', pluralize(found.count, "match", "matches"), self.index_name)
        return {"count": found.count, "matches": [match.to_dict() for match in found.matches]}
