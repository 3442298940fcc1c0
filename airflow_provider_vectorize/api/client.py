"""The Vectorize HTTP API: one method an endpoint."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from airflow_provider_vectorize.api import models as m
from airflow_provider_vectorize.api.answers import Answer
from airflow_provider_vectorize.api.limits import PRESETS
from airflow_provider_vectorize.api.transport import Body, Transport, as_json
from airflow_provider_vectorize.errors import (
    ApiError,
    ConfigError,
    CursorExpiredError,
    IndexExistsError,
    IndexNotFoundError,
    InvalidIndexConfigError,
    InvalidQueryError,
    MalformedAnswerError,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
NDJSON = "application/x-ndjson"
#: Servers' clocks are taken to agree this well; ``Date`` has whole seconds besides.
CLOCKS_AGREE = timedelta(seconds=2)
_INDEX_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class VectorizeClient(Transport):
    """Talks to Vectorize: one method an endpoint. The parameters are those of :class:`~.transport.Transport`."""

    # ---------------------------------------------------------------- indexes

    def list_indexes(self) -> list[m.Index]:
        """The indexes of the account."""
        return _parse(list[m.Index], self.send("GET", "/indexes"))

    def create_index(
        self,
        name: str,
        *,
        dimensions: int | None = None,
        metric: m.Metric | None = None,
        preset: str | None = None,
        description: str | None = None,
    ) -> m.Index:
        """Create an index, from a preset or from dimensions and a metric.

        Where the answer to an attempt is lost, the next one finds the index there: if it is as wanted and was
        created meanwhile, it is this call's.

        :raises IndexExistsError: there is one of that name.
        :raises ConfigError: neither or both ways were given.
        """
        if (preset is None) == (dimensions is None and metric is None):
            raise ConfigError("An index is created either from a preset or from dimensions and a metric.")
        if preset is None and (dimensions is None or metric is None):
            raise ConfigError("An index needs both dimensions and a metric (cosine, euclidean or dot-product).")
        config = {"preset": preset} if preset else {"dimensions": dimensions, "metric": metric}
        body: dict[str, Any] = {"name": self._index_name(name), "config": config}
        if description is not None:
            body["description"] = description
        begun = self.clock.now()
        try:
            return _parse(m.Index, self.send("POST", "/indexes", body))
        except IndexExistsError as error:
            if not error.maybe_done:
                raise
            answer = self.send("GET", self._at(name))
            index = _parse(m.Index, answer)
            lasted = timedelta(seconds=self.clock.now() - begun) + CLOCKS_AGREE
            if not answer.date or not index.created_on or index.created_on < answer.date - lasted:
                raise
            if _difference(index, dimensions, metric, preset):
                raise
            return index

    def ensure_index(
        self,
        name: str,
        *,
        dimensions: int | None = None,
        metric: m.Metric | None = None,
        preset: str | None = None,
        description: str | None = None,
    ) -> tuple[m.Index, bool]:
        """Create an index unless one that agrees is there.

        Of a preset only the dimensions are compared: Cloudflare does not publish its presets' metrics.

        :return: the index, and whether it was created.
        :raises InvalidIndexConfigError: the one that is there has other dimensions or another metric.
        """
        try:
            return self.create_index(
                name, dimensions=dimensions, metric=metric, preset=preset, description=description
            ), True
        except IndexExistsError as error:
            index = self.get_index(name)
            difference = _difference(index, dimensions, metric, preset)
            if difference:
                raise InvalidIndexConfigError(
                    f'Index "{name}" is there already, with {index.config.dimensions} dimensions and the metric '
                    f"{index.config.metric}, {difference}.",
                    **error.facts,
                ) from error
            return index, False

    def get_index(self, name: str) -> m.Index:
        """One index."""
        return _parse(m.Index, self.send("GET", self._at(name)))

    def delete_index(self, name: str) -> None:
        """Delete an index and all its vectors.

        :raises IndexNotFoundError: there is none of that name.
        """
        try:
            self.send("DELETE", self._at(name))
        except IndexNotFoundError as error:
            if not error.maybe_done:  # else an attempt whose answer was lost has deleted it
                raise

    def get_index_info(self, name: str) -> m.IndexInfo:
        """Dimensions, number of vectors and watermark of an index."""
        answer = self.send("GET", self._at(name, "/info"))
        return _parse(m.IndexInfo, answer).model_copy(update={"answered_at": answer.date})

    # ---------------------------------------------------------------- vectors

    def insert(
        self, name: str, body: bytes | Body, *, unparsable_behavior: m.UnparsableBehavior = "error"
    ) -> m.Mutation:
        """Insert one batch of ndjson. A vector whose id is taken is silently left as it is.

        :param body: at most 5,000 lines and 100 MB.
        :param unparsable_behavior: ``discard`` drops lines that do not parse, and says nothing of them.
        """
        return self.write("insert", name, body, unparsable_behavior=unparsable_behavior)

    def upsert(
        self, name: str, body: bytes | Body, *, unparsable_behavior: m.UnparsableBehavior = "error"
    ) -> m.Mutation:
        """Insert or replace one batch of ndjson; the parameters are those of :meth:`insert`."""
        return self.write("upsert", name, body, unparsable_behavior=unparsable_behavior)

    def write(
        self,
        operation: m.Operation,
        name: str,
        body: bytes | Body,
        *,
        unparsable_behavior: m.UnparsableBehavior = "error",
    ) -> m.Mutation:
        """Insert or upsert, by name."""
        params = {"unparsable-behavior": unparsable_behavior}
        path = self._at(name, f"/{operation}")
        return _mutation(self.send("POST", path, body, params=params, content_type=NDJSON, write=True))

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
        return_metadata: m.ReturnMetadata = "none",
    ) -> m.QueryResult:
        """The vectors nearest to a vector, or to the one with an id. What is checked here costs no request.

        :param filter: on properties that have a metadata index; on others it matches nothing, without an error.
        :raises ConfigError: neither or both of ``vector`` and ``vector_id``.
        :raises InvalidQueryError: topK or filter over the limit, or a vector that is not made of finite numbers.
        """
        if (vector is None) == (vector_id is None):
            raise ConfigError("A query needs either a vector or a vector_id, and not both.")
        cap = self.limits.top_k_full if return_values or return_metadata == "all" else self.limits.top_k
        if not 1 <= top_k <= cap:
            raise InvalidQueryError(
                f"top_k has to be 1 to {cap} here, not {top_k}: it is at most {self.limits.top_k}, "
                f"and {self.limits.top_k_full} with return_values or return_metadata='all'."
            )
        body: dict[str, Any] = {"topK": top_k, "returnValues": return_values, "returnMetadata": return_metadata}
        body |= {"vector": _floats(vector)} if vector is not None else {"vectorId": vector_id}
        if namespace is not None:
            body["namespace"] = namespace
        if filter is not None:
            size = len(as_json(filter, separators=(",", ":"), ensure_ascii=False))
            if not filter or size >= self.limits.filter_bytes:
                raise InvalidQueryError(
                    f"A filter must not be empty and has to be under {self.limits.filter_bytes} bytes of compact JSON; "
                    f"this one is {size}."
                )
            body["filter"] = filter
        return _parse(m.QueryResult, self.send("POST", self._at(name, "/query"), body))

    def get_by_ids(self, name: str, ids: Iterable[str]) -> list[m.Vector]:
        """The vectors with these ids, 20 a request. Ids that are not there are simply absent."""
        found: list[m.Vector] = []
        for part in _parts(ids, self.limits.ids_per_get):
            found += _parse(list[m.Vector], self.send("POST", self._at(name, "/get_by_ids"), {"ids": part}))
        return found

    def delete_by_ids(self, name: str, ids: Iterable[str]) -> list[m.Mutation]:
        """Delete the vectors with these ids, 100 a request. Ids that are not there do not matter.

        :return: one mutation a request, in order.
        """
        path = self._at(name, "/delete_by_ids")
        return [
            _mutation(self.send("POST", path, {"ids": part}, write=True))
            for part in _parts(ids, self.limits.ids_per_delete)
        ]

    def list_page(self, name: str, *, count: int | None = None, cursor: str | None = None) -> m.ListPage:
        """One page of the ids of an index.

        :raises CursorExpiredError: the cursor is no longer good.
        """
        params = {"count": str(count or self.limits.list_page)} | ({"cursor": cursor} if cursor else {})
        try:
            return _parse(m.ListPage, self.send("GET", self._at(name, "/list"), params=params))
        except ApiError as error:
            if cursor and error.status in (400, 410) and "cursor" in error.api_message.lower():
                raise CursorExpiredError(error.message, **error.facts) from error
            raise

    def list_vectors(self, name: str) -> Iterator[str]:
        """All ids of an index, each once, page by page.

        Where the cursor expires before the end, the listing starts over on a new snapshot and says so in the
        log; ids given already are not given again. To know them costs 16 bytes an id, and a set of them once
        a cursor has expired.

        :raises CursorExpiredError: a listing that started over came no further than the one before.
        """
        digests = bytearray()  # of the ids given, in order: a set of the ids would be ten times as large
        given: set[bytes] = set()
        before = -1
        cursor: str | None = None
        while True:
            try:
                page = self.list_page(name, cursor=cursor)
            except CursorExpiredError:
                if len(digests) == before:
                    raise
                before, cursor = len(digests), None
                given = {bytes(digests[at : at + 16]) for at in range(0, before, 16)}
                log.warning(
                    'The listing of index "%s" took longer than its cursor lives: starting over, after %d ids.',
                    name,
                    len(given),
                )
                continue
            for vector_id in page.ids:
                digest = hashlib.blake2b(vector_id.encode(), digest_size=16).digest()
                if digest not in given:
                    digests += digest
                    yield vector_id
            cursor = page.next_cursor
            if not page.is_truncated:
                return
            if not cursor:
                raise MalformedAnswerError(
                    f'The listing of index "{name}" says that there is more, and gives no cursor to get it.'
                )

    # ---------------------------------------------------------------- metadata indexes

    def create_metadata_index(self, name: str, property_name: str, index_type: m.MetadataIndexType) -> m.Mutation:
        """Make a property filterable, for vectors written after the index is visible. Once more is no error."""
        body = {"propertyName": property_name, "indexType": index_type}
        return _mutation(self.send("POST", self._at(name, "/metadata_index/create"), body, write=True))

    def delete_metadata_index(self, name: str, property_name: str) -> m.Mutation:
        """Stop filtering by a property."""
        body = {"propertyName": property_name}
        return _mutation(self.send("POST", self._at(name, "/metadata_index/delete"), body, write=True))

    def list_metadata_indexes(self, name: str) -> list[m.MetadataIndex]:
        """The metadata indexes of an index. Eventually consistent."""
        answer = self.send("GET", self._at(name, "/metadata_index/list"))
        return _parse(m.MetadataIndexes, answer).metadata_indexes

    def _index_name(self, name: str) -> str:
        if not isinstance(name, str) or not _INDEX_NAME.fullmatch(name) or len(name) > self.limits.index_name_bytes:
            raise ConfigError(
                f"{name!r} cannot be the name of an index: letters, digits, - and _ are allowed, "
                f"{self.limits.index_name_bytes} at the most."
            )
        return name

    def _at(self, name: str, rest: str = "") -> str:
        return f"/indexes/{self._index_name(name)}{rest}"


def _mutation(answer: Answer) -> m.Mutation:
    return m.Mutation(mutation_id=answer.result["mutationId"], accepted_at=answer.date)


def _parse(kind: type[T], answer: Answer) -> T:
    try:
        return TypeAdapter(kind).validate_python(answer.result)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the result"
        request = answer.request
        raise MalformedAnswerError(
            f"{request.method} {request.path} gave an answer of an unknown shape: {where}: {first['msg']}.",
            method=request.method,
            path=request.path,
        ) from None


def _difference(index: m.Index, dimensions: int | None, metric: str | None, preset: str | None) -> str:
    """What an index that is there has otherwise than wanted, or nothing."""
    if preset and preset not in PRESETS:
        return f"and whether the preset {preset} agrees is not known here: give dimensions and metric instead"
    wanted = PRESETS[preset] if preset else dimensions
    if wanted == index.config.dimensions and metric in (None, index.config.metric):
        return ""
    said = f"{wanted} dimensions" + (f" and the metric {metric}" if metric else "")
    return f"not with {said}. Neither can be changed: use another name, or delete it first"


def _floats(vector: Sequence[float]) -> list[float]:
    try:
        values = [float(value) for value in vector]  # numpy's numbers, too, which JSON would not take
    except (TypeError, ValueError):
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise InvalidQueryError("The query's vector has to be a list of finite numbers.")
    return values


def _parts(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    if isinstance(ids, str):
        raise ConfigError(f"The ids are a list of strings; for one, write [{ids!r}].")
    part: list[str] = []
    for vector_id in ids:
        part.append(vector_id)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
