"""Handlers of the API operations. Each returns the ``result`` of the envelope."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import orjson

from airflow_provider_vectorize.local.engine.clock import microseconds, milliseconds, nanoseconds
from airflow_provider_vectorize.local.engine.data_problems import InvalidBody
from airflow_provider_vectorize.local.engine.engine import Engine
from airflow_provider_vectorize.local.engine.filters import indexed_value
from airflow_provider_vectorize.local.engine.problems import BodyTooLarge, UnverifiableToken
from airflow_provider_vectorize.local.engine.records import Index, Json, Kind, MetadataIndex, Mutation, StoredVector
from airflow_provider_vectorize.local.faults.rules import Faults
from airflow_provider_vectorize.local.http import checks, ndjson
from airflow_provider_vectorize.local.http.auth import credential
from airflow_provider_vectorize.local.http.call import Call


class Handlers:
    """Reads the bodies of requests, and calls the engine in threads because it blocks."""

    def __init__(self, engine: Engine, faults: Faults) -> None:
        self._engine = engine
        self._faults = faults
        self._limits = engine.limits

    # Indexes

    async def list_indexes(self, call: Call) -> list[Json]:
        return [_index(index) for index in await asyncio.to_thread(self._engine.list_indexes, call.account)]

    async def create_index(self, call: Call) -> Json:
        new = checks.new_index(await call.json(data_plane=False), self._limits)
        return _index(await asyncio.to_thread(self._engine.create_index, call.account, new))

    async def get_index(self, call: Call) -> Json:
        return _index(await asyncio.to_thread(self._engine.get_index, call.account, call.index))

    async def delete_index(self, call: Call) -> None:
        await asyncio.to_thread(self._engine.delete_index, call.account, call.index)

    async def info(self, call: Call) -> Json:
        stale = self._faults.next_read_is_stale(call.index)
        info = await asyncio.to_thread(self._engine.info, call.account, call.index, stale=stale)
        result: Json = {"dimensions": info.dimensions, "vectorCount": info.vectors}
        if info.processed_at is not None:
            result["processedUpToDatetime"] = milliseconds(info.processed_at)
            result["processedUpToMutation"] = info.mutation_id
        return result

    # Vectors

    async def insert(self, call: Call) -> Json:
        return await self._write(call, Kind.INSERT)

    async def upsert(self, call: Call) -> Json:
        return await self._write(call, Kind.UPSERT)

    async def _write(self, call: Call, kind: Kind) -> Json:
        index = await asyncio.to_thread(self._engine.get_index, call.account, call.index)
        behavior = call.request.query.get("unparsable-behavior", "error")
        if behavior not in ("error", "discard"):
            raise InvalidBody(f"unparsable-behavior: unknown variant `{behavior}`, expected `error` or `discard`")
        body = await call.ndjson()

        def parse_and_log() -> Mutation:
            vectors = ndjson.parse(
                body,
                operation=kind.value,
                dimensions=index.dimensions,
                discard=behavior == "discard",
                limits=self._limits,
            )
            call.recorded.vectors = len(vectors)
            return self._engine.write(index, kind, vectors)

        return _acknowledge(call, await asyncio.to_thread(parse_and_log))

    async def get_by_ids(self, call: Call) -> list[Json]:
        body = await call.json()
        await asyncio.to_thread(self._engine.get_index, call.account, call.index)
        ids = checks.ids(body, self._limits.ids_per_get, self._limits, with_count=False)
        stale = self._faults.next_read_is_stale(call.index)
        vectors = await asyncio.to_thread(self._engine.get_by_ids, call.account, call.index, ids, stale=stale)
        return [
            {"id": vector.id, "values": _values(vector), **_namespace(vector), **_metadata(vector)}
            for vector in vectors
        ]

    async def delete_by_ids(self, call: Call) -> Json:
        body = await call.json()
        await asyncio.to_thread(self._engine.get_index, call.account, call.index)
        ids = checks.ids(body, self._limits.ids_per_delete, self._limits, with_count=True)
        return _acknowledge(call, await asyncio.to_thread(self._engine.delete_by_ids, call.account, call.index, ids))

    async def list_vectors(self, call: Call) -> Json:
        text = call.request.query.get("count", str(self._limits.default_list_count))
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= self._limits.list_count:
            raise InvalidBody(f"count: invalid value: `{text}`, expected 1 to {self._limits.list_count}")
        cursor = call.request.query.get("cursor") or None
        page = await asyncio.to_thread(self._engine.list_vectors, call.account, call.index, int(text), cursor)
        result: Json = {"count": len(page.ids), "totalCount": page.total, "isTruncated": page.cursor is not None}
        if page.cursor is not None and page.expires_at is not None:
            result["nextCursor"] = page.cursor
            result["cursorExpirationTimestamp"] = nanoseconds(page.expires_at)
        result["vectors"] = [{"id": vector_id} for vector_id in page.ids]
        return result

    async def query(self, call: Call) -> Json:
        return await self.answer_query(call.account, call.index, await call.json())

    async def answer_query(self, account: str, index_name: str, body: Json) -> Json:
        """Return the result of a query, whose body has not been checked."""
        await asyncio.to_thread(self._engine.get_index, account, index_name)
        request = checks.query(body, self._limits)
        stale = self._faults.next_read_is_stale(index_name)
        matches = await asyncio.to_thread(self._engine.query, account, index_name, request, stale=stale)
        indexes: list[MetadataIndex] = []
        if request.return_metadata == "indexed":
            indexes = await asyncio.to_thread(self._engine.list_metadata_indexes, account, index_name, stale=stale)
        result = []
        for match in matches:
            fields: Json = {"id": match.vector.id, "score": match.score}
            if request.return_values:
                fields["values"] = _values(match.vector)
            if request.return_metadata == "all":
                fields |= _metadata(match.vector)
            elif request.return_metadata == "indexed":
                fields |= self._indexed_metadata(match.vector, indexes)
            result.append(fields | _namespace(match.vector))
        return {"count": len(result), "matches": result}

    def _indexed_metadata(self, vector: StoredVector, indexes: list[MetadataIndex]) -> Json:
        metadata = orjson.loads(vector.metadata) if vector.metadata else None
        indexed: Json = {}
        for index in indexes:
            if vector.seq <= index.since:
                continue
            value = indexed_value(metadata, index, self._limits.indexed_string_bytes)
            if value is not None:
                *parents, last = index.name.split(".")
                target = indexed
                for parent in parents:
                    target = target.setdefault(parent, {})
                target[last] = value
        return {"metadata": indexed} if indexed else {}

    # Workers KV

    async def read_kv(self, call: Call) -> bytes:
        return await asyncio.to_thread(self._engine.kv.read, *self._kv_place(call, "get"))

    async def write_kv(self, call: Call) -> None:
        place = self._kv_place(call, "put")
        value = await call.kv_value()
        if len(value) > self._limits.kv_value_bytes:
            raise BodyTooLarge
        await asyncio.to_thread(self._engine.kv.write, *place, value)

    def _kv_place(self, call: Call, operation: str) -> tuple[str, str, str]:
        parts = call.request.match_info
        key = checks.kv_key(operation, parts["key"], self._limits)
        return call.account, checks.kv_namespace(parts["namespace"]), key

    # Metadata indexes

    async def create_metadata_index(self, call: Call) -> Json:
        body = await call.json()
        await asyncio.to_thread(self._engine.get_index, call.account, call.index)
        name, type_ = checks.metadata_index(body)
        return _acknowledge(
            call, await asyncio.to_thread(self._engine.create_metadata_index, call.account, call.index, name, type_)
        )

    async def delete_metadata_index(self, call: Call) -> Json:
        body = await call.json()
        await asyncio.to_thread(self._engine.get_index, call.account, call.index)
        name = checks.property_name(body)
        return _acknowledge(
            call, await asyncio.to_thread(self._engine.delete_metadata_index, call.account, call.index, name)
        )

    async def list_metadata_indexes(self, call: Call) -> Json:
        stale = self._faults.next_read_is_stale(call.index)
        indexes = await asyncio.to_thread(self._engine.list_metadata_indexes, call.account, call.index, stale=stale)
        return {
            "metadataIndexes": [{"propertyName": index.name, "indexType": index.type.capitalize()} for index in indexes]
        }

    async def verify_token(self, call: Call) -> Json:
        """Verify a token. This is not part of the Vectorize API, but many users try it first."""
        if (credential(call.request.headers) or "").startswith("cfat_"):  # The prefix of tokens that an account owns.
            raise UnverifiableToken
        return {"id": "0" * 32, "status": "active"}


def _acknowledge(call: Call, mutation: Mutation) -> Json:
    call.mutation = mutation
    call.recorded.mutation_id = mutation.id
    return {"mutationId": mutation.id}


def _index(index: Index) -> Json:
    return {
        "created_on": microseconds(index.created_on),
        "modified_on": microseconds(index.modified_on),
        "name": index.name,
        "description": index.description,
        "config": {"dimensions": index.dimensions, "metric": index.metric},
    }


def _values(vector: StoredVector) -> Any:
    return np.frombuffer(vector.values, np.float32)


def _namespace(vector: StoredVector) -> Json:
    return {} if vector.namespace is None else {"namespace": vector.namespace}


def _metadata(vector: StoredVector) -> Json:
    return {} if vector.metadata is None else {"metadata": orjson.Fragment(vector.metadata)}
