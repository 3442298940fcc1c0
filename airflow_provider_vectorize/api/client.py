"""Client for the HTTP API of Vectorize, with one method for each endpoint."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from airflow_provider_vectorize import parameters
from airflow_provider_vectorize.api import arguments, models
from airflow_provider_vectorize.api.answers import result_as
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.filters import explain_no_match
from airflow_provider_vectorize.api.indexes import IndexEndpoints, settle_afterwards
from airflow_provider_vectorize.api.kv import KvEndpoints
from airflow_provider_vectorize.api.late import Change
from airflow_provider_vectorize.api.listing import list_all_ids
from airflow_provider_vectorize.api.markers import marker_id
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.api.transport import Body
from airflow_provider_vectorize.errors import ApiError, CursorExpiredError

NDJSON = "application/x-ndjson"


class VectorizeClient(IndexEndpoints, KvEndpoints):
    """Send requests to Vectorize, with one method for each endpoint.

    The parameters are those of :class:`~.transport.Transport`.
    """

    def __init__(self, credentials: Credentials, **options: Any) -> None:
        super().__init__(credentials, **options)
        #: Identifies this client in its mutations. ``begun`` and ``acknowledged`` order the mutations of one writer.
        self.writer = uuid4().hex
        # Counts the starts and acknowledgments of writes. Threads may share it because next() is atomic.
        self._counter = itertools.count(1)

    # ---------------------------------------------------------------- vectors

    @settle_afterwards
    def insert(
        self, name: str, body: bytes | Body, *, unparsable_behavior: models.UnparsableBehavior = "error"
    ) -> models.Mutation:
        """Insert one batch of ndjson. Vectorize silently skips vectors whose id already exists.

        :param body: At most 5,000 lines and 100 MB.
        :param unparsable_behavior: ``error`` (default) refuses the batch if a line cannot be parsed. ``discard``
            silently drops such lines.
        """
        return self.write("insert", name, body, unparsable_behavior=unparsable_behavior)

    @settle_afterwards
    def upsert(
        self, name: str, body: bytes | Body, *, unparsable_behavior: models.UnparsableBehavior = "error"
    ) -> models.Mutation:
        """Insert one batch of ndjson, and overwrite vectors that exist. The parameters are those of :meth:`insert`."""
        return self.write("upsert", name, body, unparsable_behavior=unparsable_behavior)

    def write(
        self,
        operation: models.Operation,
        name: str,
        body: bytes | Body,
        *,
        unparsable_behavior: models.UnparsableBehavior = "error",
        ids: Sequence[str | None] | None = None,
    ) -> models.Mutation:
        """Insert or upsert one batch without waiting for abandoned requests at the end.

        Call ``late.settle()`` after the last write.

        :param operation: ``insert`` or ``upsert``.
        :param ids: Ids of the vectors. The write first waits while an abandoned request that shares an id can still be
            carried out. Without ids, it waits for all abandoned requests to this index.
        """
        params = {"unparsable-behavior": unparsable_behavior}
        return self._write(operation, name, f"/{operation}", body, ids, params=params, content_type=NDJSON)

    def query(
        self,
        name: str,
        *,
        vector: Sequence[float] | None = None,
        vector_id: str | None = None,
        top_k: int = 5,
        namespace: str | None = None,
        filter: Mapping[str, Any] | None = None,
        return_values: bool = False,
        return_metadata: models.ReturnMetadata = "none",
    ) -> models.QueryResult:
        """Return the vectors that are nearest to a vector, which is given by its values or its id.

        Invalid arguments are found before the request is sent. If a query with a filter has no matches, one more
        request checks whether a metadata index is missing, and the client logs a warning if so.

        :param vector: Values of the vector. Give either ``vector`` or ``vector_id``.
        :param vector_id: Id of a vector in the index.
        :param top_k: Maximum number of matches. Default: 5. At most 100, or 50 with ``return_values`` or
            ``return_metadata="all"``.
        :param namespace: Return only matches in this namespace.
        :param filter: Conditions on properties that have a metadata index, such as ``{"year": {"$gte": 2020}}``. An
            empty dict has the same meaning as ``None``.
        :param return_values: Whether to return the values of the matches.
        :param return_metadata: Metadata to return: ``none``, ``indexed`` (properties with a metadata index) or ``all``.
        :raises ConfigError: Neither or both of ``vector`` and ``vector_id`` are given.
        :raises InvalidQueryError: ``top_k`` is out of range, the filter is not valid, or the vector is not a list of
            finite numbers.
        """
        body = arguments.query_body(
            self.limits,
            vector=vector,
            vector_id=vector_id,
            top_k=top_k,
            namespace=namespace,
            filter=filter,
            return_values=return_values,
            return_metadata=return_metadata,
        )
        result = result_as(models.QueryResult, self.send("POST", self._index_path(name, "/query"), body))
        if not result.matches and filter:
            client_without_retries = copy.copy(self)  # A failed explanation must not delay the result.
            client_without_retries.retry = RetryPolicy(total=0)
            explain_no_match(name, filter, client_without_retries.list_metadata_indexes)
        return result

    def get_by_ids(self, name: str, ids: Iterable[str]) -> list[models.Vector]:
        """Return the vectors with these ids, with up to 20 ids in each request. Ids that do not exist are left out."""
        vectors: list[models.Vector] = []
        for batch in arguments.split_ids(ids, self.limits.ids_per_get):
            answer = self.send("POST", self._index_path(name, "/get_by_ids"), {"ids": batch})
            vectors += result_as(list[models.Vector], answer)
        return vectors

    @settle_afterwards
    def delete_by_ids(self, name: str, ids: Iterable[str]) -> list[models.Mutation]:
        """Delete the vectors with these ids, with up to 100 ids in each request. Ids that do not exist are ignored.

        :return: One mutation for each request, in order.
        """
        return [self.delete_page(name, batch) for batch in arguments.split_ids(ids, self.limits.ids_per_delete)]

    def delete_page(self, name: str, ids: Sequence[str]) -> models.Mutation:
        """Delete the vectors with these ids in one request, without waiting for abandoned requests at the end.

        Call ``late.settle()`` after the last request.

        :param ids: At most 100 ids.
        """
        return self._write("delete", name, "/delete_by_ids", {"ids": ids}, ids)

    def send_marker(self, name: str) -> models.Mutation:
        """Delete an id that no vector has. Its mutation comes after all writes that were acknowledged before."""
        return self._send_write("delete", name, "/delete_by_ids", {"ids": [marker_id()]})

    def list_page(self, name: str, *, count: int | None = None, cursor: str | None = None) -> models.ListPage:
        """Return one page of the ids of an index.

        :param count: Number of ids. Default and maximum: 1,000.
        :param cursor: ``next_cursor`` of the page before. Default: the first page.
        :raises CursorExpiredError: The cursor has expired.
        """
        params = {"count": str(count or self.limits.list_page)} | ({"cursor": cursor} if cursor else {})
        try:
            return result_as(models.ListPage, self.send("GET", self._index_path(name, "/list"), params=params))
        except ApiError as error:
            if cursor and error.status in (400, 410) and "cursor" in error.api_message.lower():
                raise CursorExpiredError(error.message, **error.facts) from error
            raise

    def list_vectors(self, name: str) -> Iterator[str]:
        """Yield each id of an index once. See :func:`~.listing.list_all_ids`.

        :raises CursorExpiredError: The cursor expired again after the listing had started over without any new id.
        """
        return list_all_ids(name, lambda cursor: self.list_page(name, cursor=cursor))

    # ---------------------------------------------------------------- metadata indexes

    @settle_afterwards
    def create_metadata_index(
        self, name: str, property_name: str, index_type: models.MetadataIndexType
    ) -> models.Mutation:
        """Create a metadata index, which succeeds even if it exists.

        It covers only vectors that are written after it has become visible.
        """
        body = arguments.metadata_index_body(property_name, index_type)
        return self._write("create_metadata_index", name, "/metadata_index/create", body)

    @settle_afterwards
    def delete_metadata_index(self, name: str, property_name: str) -> models.Mutation:
        """Delete the metadata index on a property."""
        body = {"propertyName": parameters.text("property_name", property_name)}
        return self._write("delete_metadata_index", name, "/metadata_index/delete", body)

    def list_metadata_indexes(self, name: str) -> list[models.MetadataIndex]:
        """Return the metadata indexes of an index. The list is eventually consistent."""
        answer = self.send("GET", self._index_path(name, "/metadata_index/list"))
        return result_as(models.MetadataIndexes, answer).metadata_indexes

    def _write(
        self,
        operation: str,
        name: str,
        path: str,
        body: Mapping[str, Any] | bytes | Body,
        ids: Sequence[str | None] | None = None,
        **options: Any,
    ) -> models.Mutation:
        """Send a write. Reads the incarnation of the index first, if unknown, because the mutation contains it."""
        self.created_on(name)
        return self._send_write(operation, name, path, body, change=Change(name, ids), **options)

    def _send_write(
        self, operation: str, name: str, path: str, body: Mapping[str, Any] | bytes | Body, **options: Any
    ) -> models.Mutation:
        begun = next(self._counter)
        answer = self.send("POST", self._index_path(name, path), body, write=True, **options)
        return models.Mutation(
            operation=operation,
            index_name=name,
            mutation_id=answer.result["mutationId"],
            accepted_at=answer.date,
            created_on=self.known_incarnation(name),
            writer=self.writer,
            begun=begun,
            acknowledged=next(self._counter),
        )
