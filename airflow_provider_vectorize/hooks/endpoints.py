"""Methods of the hook that call one endpoint of the API each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from airflow_provider_vectorize.api import models
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.load.hook_writes import write_vectors


class Endpoints:
    """Typed methods, one for each endpoint of the API.

    Transient failures are retried for as long as the connection specifies. Every method raises a
    :class:`~airflow_provider_vectorize.errors.VectorizeError`.
    """

    def get_conn(self) -> VectorizeClient:
        """Return a new client. Close it, or use it in a ``with`` statement."""
        raise NotImplementedError

    def _about_to_write(self, index_name: str) -> None:
        """Do what must happen before the first write of a method to an index. By default nothing."""

    @cached_property
    def client(self) -> VectorizeClient:
        """Return the client that these methods share."""
        return self.get_conn()

    # ---------------------------------------------------------------- indexes

    def list_indexes(self) -> list[models.Index]:
        """Return the indexes of the account."""
        return self.client.list_indexes()

    def create_index(
        self,
        index_name: str,
        *,
        dimensions: int | None = None,
        metric: models.Metric | None = None,
        preset: str | None = None,
        description: str | None = None,
    ) -> models.Index:
        """Create an index, either from a preset or from dimensions and a metric.

        :raises IndexExistsError: An index of this name exists.
        """
        return self.client.create_index(
            index_name, dimensions=dimensions, metric=metric, preset=preset, description=description
        )

    def get_index(self, index_name: str) -> models.Index:
        """Return an index with its dimensions, metric and time of creation."""
        return self.client.get_index(index_name)

    def delete_index(self, index_name: str) -> None:
        """Delete an index with all its vectors."""
        self.client.delete_index(index_name)

    def get_index_info(self, index_name: str) -> models.IndexInfo:
        """Return the number of vectors (eventually consistent) and the watermark of an index."""
        return self.client.get_index_info(index_name)

    # ---------------------------------------------------------------- vectors

    def insert(
        self,
        index_name: str,
        vectors: bytes | Iterable[models.Vector | Mapping[str, Any]],
        *,
        unparsable_behavior: models.UnparsableBehavior = "error",
    ) -> models.Mutation:
        """Insert vectors. A vector whose ID exists in the index is silently kept. For files, see :meth:`load`.

        Vectors are sent in order, in requests of at most 5,000 vectors and 100 MB.

        :param vectors: ndjson as bytes, or an iterable of vectors. NumPy arrays and scalars are accepted as numbers.
            See :func:`~airflow_provider_vectorize.rows.encoding.encode_row` for all accepted types.
        :param unparsable_behavior: With ``discard``, Vectorize drops lines that it cannot parse without reporting it.
        :return: The mutation of the last request, which Vectorize processes after the others.
        :raises ConfigError: A vector cannot be written as JSON. Every error reports what was acknowledged before.
        """
        self._about_to_write(index_name)
        return write_vectors(self.client, "insert", index_name, vectors, unparsable_behavior)

    def upsert(
        self,
        index_name: str,
        vectors: bytes | Iterable[models.Vector | Mapping[str, Any]],
        *,
        unparsable_behavior: models.UnparsableBehavior = "error",
    ) -> models.Mutation:
        """Insert or overwrite vectors. Parameters, result and errors are those of :meth:`insert`."""
        self._about_to_write(index_name)
        return write_vectors(self.client, "upsert", index_name, vectors, unparsable_behavior)

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
        return_metadata: models.ReturnMetadata = "none",
    ) -> models.QueryResult:
        """Return the vectors that are nearest to a vector, best match first.

        :param vector: As many floats as the index has dimensions. Pass either this or ``vector_id``.
        :param vector_id: ID of a stored vector.
        :param top_k: Maximum number of matches, 1 to 100, or to 50 with values or all metadata.
        :param namespace: Search in this namespace only.
        :param filter: Conditions on properties that have a metadata index. Conditions on others match nothing.
        :param return_values: Return the values of each match.
        :param return_metadata: ``none``, ``indexed`` (strings are truncated to 64 bytes) or ``all``.
        :raises InvalidQueryError: ``top_k`` exceeds a limit, the filter is invalid, or the vector has the wrong
            number of dimensions.
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

    def get_by_ids(self, index_name: str, ids: Iterable[str]) -> list[models.Vector]:
        """Return the vectors with these IDs, 20 per request. IDs that do not exist are left out."""
        return self.client.get_by_ids(index_name, ids)

    def delete_by_ids(self, index_name: str, ids: Iterable[str]) -> list[models.Mutation]:
        """Delete the vectors with these IDs, 100 per request, and return the mutation of each request."""
        self._about_to_write(index_name)
        return self.client.delete_by_ids(index_name, ids)

    def list_vectors(self, index_name: str) -> Iterator[str]:
        """Yield the ID of every vector once, 1,000 per request. This takes 16 bytes of memory per ID.

        If the cursor of the listing expires, the listing starts over, skips the IDs it yielded before, and logs a
        warning.
        """
        return self.client.list_vectors(index_name)

    # ---------------------------------------------------------------- metadata indexes

    def create_metadata_index(
        self, index_name: str, property_name: str, index_type: models.MetadataIndexType
    ) -> models.Mutation:
        """Make a property filterable for vectors that are written after the metadata index is visible."""
        self._about_to_write(index_name)
        return self.client.create_metadata_index(index_name, property_name, index_type)

    def delete_metadata_index(self, index_name: str, property_name: str) -> models.Mutation:
        """Delete a metadata index. A filter on its property then matches nothing."""
        self._about_to_write(index_name)
        return self.client.delete_metadata_index(index_name, property_name)

    def list_metadata_indexes(self, index_name: str) -> list[models.MetadataIndex]:
        """Return the metadata indexes of an index."""
        return self.client.list_metadata_indexes(index_name)
