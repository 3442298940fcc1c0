"""The Vectorize HTTP API: one method an endpoint."""

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
from airflow_provider_vectorize.api.indexes import IndexEndpoints, settles
from airflow_provider_vectorize.api.late import Change
from airflow_provider_vectorize.api.listing import every_id
from airflow_provider_vectorize.api.markers import marker_id
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.api.transport import Body
from airflow_provider_vectorize.errors import (
    ApiError,
    CursorExpiredError,
)

NDJSON = "application/x-ndjson"


class VectorizeClient(IndexEndpoints):
    """Talks to Vectorize: one method an endpoint. The parameters are those of :class:`~.transport.Transport`."""

    def __init__(self, credentials: Credentials, **options: Any) -> None:
        super().__init__(credentials, **options)
        #: Names this client in its mutations. Two of them with one name were written by one process, in order.
        self.writer = uuid4().hex
        self._counter = itertools.count(1)  # of beginnings and acknowledgements; its next() is atomic

    # ---------------------------------------------------------------- vectors

    @settles
    def insert(
        self, name: str, body: bytes | Body, *, unparsable_behavior: models.UnparsableBehavior = "error"
    ) -> models.Mutation:
        """Insert one batch of ndjson. A vector whose id is taken is silently left as it is.

        :param body: at most 5,000 lines and 100 MB.
        :param unparsable_behavior: ``discard`` drops lines that do not parse, and says nothing of them.
        """
        return self.write("insert", name, body, unparsable_behavior=unparsable_behavior)

    @settles
    def upsert(
        self, name: str, body: bytes | Body, *, unparsable_behavior: models.UnparsableBehavior = "error"
    ) -> models.Mutation:
        """Insert or replace one batch of ndjson; the parameters are those of :meth:`insert`."""
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
        """Insert or upsert, by name. Call ``late.settle()`` after the last one.

        :param ids: Ids of the vectors. A request waits for late ones that share an id with it; without ids, for all.
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
        """The vectors nearest to a vector, or to the one with an id. What is checked here costs no request.

        If a filter matches nothing because a property has no metadata index, a warning is logged, at the cost of one
        more request.

        :param filter: conditions on properties that have a metadata index, such as ``{"year": {"$gte": 2020}}``; an
            empty dict is the same as ``None``.
        :raises ConfigError: neither or both of ``vector`` and ``vector_id``.
        :raises InvalidQueryError: topK over the limit, a filter that Vectorize does not take, or a vector that is
            not made of finite numbers.
        """
        body = arguments.query(
            self.limits,
            vector=vector,
            vector_id=vector_id,
            top_k=top_k,
            namespace=namespace,
            filter=filter,
            return_values=return_values,
            return_metadata=return_metadata,
        )
        found = result_as(models.QueryResult, self.send("POST", self._at(name, "/query"), body))
        if not found.matches and filter:
            once = copy.copy(self)
            once.retry = RetryPolicy(total=0)  # an explanation is worth one attempt
            explain_no_match(name, filter, once.list_metadata_indexes)
        return found

    def get_by_ids(self, name: str, ids: Iterable[str]) -> list[models.Vector]:
        """The vectors with these ids, 20 a request. Ids that are not there are simply absent."""
        found: list[models.Vector] = []
        for part in arguments.parts(ids, self.limits.ids_per_get):
            found += result_as(list[models.Vector], self.send("POST", self._at(name, "/get_by_ids"), {"ids": part}))
        return found

    @settles
    def delete_by_ids(self, name: str, ids: Iterable[str]) -> list[models.Mutation]:
        """Delete the vectors with these ids, 100 a request. Ids that are not there do not matter.

        :return: one mutation a request, in order.
        """
        return [self.delete_page(name, part) for part in arguments.parts(ids, self.limits.ids_per_delete)]

    def delete_page(self, name: str, ids: Sequence[str]) -> models.Mutation:
        """Delete the vectors with these ids in one request. Call ``late.settle()`` after the last one.

        :param ids: at most 100.
        """
        return self._write("delete", name, "/delete_by_ids", {"ids": ids}, ids)

    def send_marker(self, name: str) -> models.Mutation:
        """Delete an id that no vector has. Its mutation stands behind all that was acknowledged before."""
        return self._send_write("delete", name, "/delete_by_ids", {"ids": [marker_id()]})

    def list_page(self, name: str, *, count: int | None = None, cursor: str | None = None) -> models.ListPage:
        """One page of the ids of an index.

        :raises CursorExpiredError: the cursor is no longer good.
        """
        params = {"count": str(count or self.limits.list_page)} | ({"cursor": cursor} if cursor else {})
        try:
            return result_as(models.ListPage, self.send("GET", self._at(name, "/list"), params=params))
        except ApiError as error:
            if cursor and error.status in (400, 410) and "cursor" in error.api_message.lower():
                raise CursorExpiredError(error.message, **error.facts) from error
            raise

    def list_vectors(self, name: str) -> Iterator[str]:
        """All ids of an index, each once, page by page, see :func:`~.listing.every_id`.

        :raises CursorExpiredError: a listing that started over came no further than the one before.
        """
        return every_id(name, lambda cursor: self.list_page(name, cursor=cursor))

    # ---------------------------------------------------------------- metadata indexes

    @settles
    def create_metadata_index(
        self, name: str, property_name: str, index_type: models.MetadataIndexType
    ) -> models.Mutation:
        """Make a property filterable, for vectors written after the index is visible. Once more is no error."""
        body = arguments.metadata_index(property_name, index_type)
        return self._write("create_metadata_index", name, "/metadata_index/create", body)

    @settles
    def delete_metadata_index(self, name: str, property_name: str) -> models.Mutation:
        """Stop filtering by a property."""
        body = {"propertyName": parameters.text("property_name", property_name)}
        return self._write("delete_metadata_index", name, "/metadata_index/delete", body)

    def list_metadata_indexes(self, name: str) -> list[models.MetadataIndex]:
        """The metadata indexes of an index. Eventually consistent."""
        answer = self.send("GET", self._at(name, "/metadata_index/list"))
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
        """Send a write. The incarnation of the index is read before the first one, so that the mutation names it."""
        self.created_on(name)
        return self._send_write(operation, name, path, body, change=Change(name, ids), **options)

    def _send_write(
        self, operation: str, name: str, path: str, body: Mapping[str, Any] | bytes | Body, **options: Any
    ) -> models.Mutation:
        begun = next(self._counter)
        answer = self.send("POST", self._at(name, path), body, write=True, **options)
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
