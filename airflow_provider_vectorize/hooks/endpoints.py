"""What the hook and the API have in common: one method an endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from airflow_provider_vectorize.api import models
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.load.hook_writes import write_vectors


class Endpoints:
    """One method an endpoint, typed. Transient failures are tried again for as long as the connection says.

    Every method raises a :class:`~airflow_provider_vectorize.errors.VectorizeError`.
    """

    def get_conn(self) -> VectorizeClient:
        """A client of its own; close it, or use it with ``with``."""
        raise NotImplementedError

    @cached_property
    def client(self) -> VectorizeClient:
        """The client that these methods share."""
        return self.get_conn()

    # ---------------------------------------------------------------- indexes

    def list_indexes(self) -> list[models.Index]:
        """The indexes of the account."""
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

        :raises IndexExistsError: there is one of that name.
        """
        return self.client.create_index(
            index_name, dimensions=dimensions, metric=metric, preset=preset, description=description
        )

    def get_index(self, index_name: str) -> models.Index:
        """One index: its dimensions, its metric, when it was created."""
        return self.client.get_index(index_name)

    def delete_index(self, index_name: str) -> None:
        """Delete an index with all its vectors."""
        self.client.delete_index(index_name)

    def get_index_info(self, index_name: str) -> models.IndexInfo:
        """Number of vectors (eventually consistent) and watermark of an index."""
        return self.client.get_index_info(index_name)

    # ---------------------------------------------------------------- vectors

    def insert(
        self,
        index_name: str,
        vectors: bytes | Iterable[models.Vector | Mapping[str, Any]],
        *,
        unparsable_behavior: models.UnparsableBehavior = "error",
    ) -> models.Mutation:
        """Insert vectors; a vector whose id is taken is silently left as it is. For files, see :meth:`load`.

        More than one request takes (5,000 vectors or 100 MB) is sent as several requests, one after the other.

        :param vectors: ndjson, or vectors. NumPy arrays and scalars may stand wherever JSON has numbers; see
            :func:`~airflow_provider_vectorize.rows.encoding.encode_row` for the other types.
        :param unparsable_behavior: with ``discard``, Vectorize drops lines that do not parse and does not say so.
        :return: the last request's mutation, which follows all others in Vectorize's log.
        :raises ConfigError: a vector cannot be written as JSON. Every error names what was acknowledged before.
        """
        return write_vectors(self.client, "insert", index_name, vectors, unparsable_behavior)

    def upsert(
        self,
        index_name: str,
        vectors: bytes | Iterable[models.Vector | Mapping[str, Any]],
        *,
        unparsable_behavior: models.UnparsableBehavior = "error",
    ) -> models.Mutation:
        """Insert or replace vectors; parameters, result and errors are those of :meth:`insert`."""
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
        """The nearest vectors, best first.

        :param vector: as many floats as the index has dimensions; or
        :param vector_id: the id of a stored vector.
        :param top_k: 1 to 100, or to 50 with values or all metadata.
        :param filter: conditions on properties that have a metadata index; on others it matches nothing.
        :param return_metadata: ``none``, ``indexed`` (strings cut at 64 bytes) or ``all``.
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
        """The vectors with these ids, 20 a request; missing ones are absent."""
        return self.client.get_by_ids(index_name, ids)

    def delete_by_ids(self, index_name: str, ids: Iterable[str]) -> list[models.Mutation]:
        """Delete the vectors with these ids, 100 a request, one mutation each."""
        return self.client.delete_by_ids(index_name, ids)

    def list_vectors(self, index_name: str) -> Iterator[str]:
        """All ids of an index, page by page; starts over, and says so, where the listing's cursor expires."""
        return self.client.list_vectors(index_name)

    # ---------------------------------------------------------------- metadata indexes

    def create_metadata_index(
        self, index_name: str, property_name: str, index_type: models.MetadataIndexType
    ) -> models.Mutation:
        """Make a property filterable, for vectors written once the metadata index is visible."""
        return self.client.create_metadata_index(index_name, property_name, index_type)

    def delete_metadata_index(self, index_name: str, property_name: str) -> models.Mutation:
        """Stop filtering by a property."""
        return self.client.delete_metadata_index(index_name, property_name)

    def list_metadata_indexes(self, index_name: str) -> list[models.MetadataIndex]:
        """The metadata indexes of an index."""
        return self.client.list_metadata_indexes(index_name)
