"""Errors of the data plane: vectors, queries and metadata indexes. One class for each error, as in ``problems``."""

from __future__ import annotations

from airflow_provider_vectorize.local.engine.problems import Problem


class DataProblem(Problem):
    """An error of the data plane. Its envelope has the additional key ``result_info``."""

    def body(self) -> dict[str, object]:
        return {"success": False, "result": None, "result_info": None, "errors": [self.error()], "messages": []}


class TooManyMetadataIndexes(DataProblem):
    code = 40004
    guessed = True

    def __init__(self, limit: int) -> None:
        super().__init__(f"too many metadata indexes; max is {limit}")


class NoMetadataIndex(DataProblem):
    code = 40005

    def __init__(self, name: str) -> None:
        super().__init__(f"metadata index with name={name} does not exist")


class WrongQueryDimensions(DataProblem):
    code = 40006

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"invalid query vector, expected {expected} dimensions, and got {actual} dimensions")


class TooManyIds(DataProblem):
    code = 40007

    def __init__(self, limit: int, actual: int, *, with_count: bool) -> None:
        super().__init__(
            f"too many ids in payload; max id count is {limit}" + (f", got {actual}" if with_count else "")
        )


class IdTooLong(DataProblem):
    code = 40008

    def __init__(self, limit: int, actual: int) -> None:
        super().__init__(f"id too long; max is {limit} bytes, got {actual} bytes")


class NamespaceTooLong(DataProblem):
    code = 40009
    guessed = True

    def __init__(self, limit: int, actual: int) -> None:
        super().__init__(f"namespace too long; max is {limit} bytes, got {actual} bytes")


class TooManyVectors(DataProblem):
    code = 40010
    guessed = True

    def __init__(self, limit: int, actual: int) -> None:
        super().__init__(f"too many vectors in payload; max count is {limit}, got {actual}")


class IndexFull(DataProblem):
    code = 40011
    guessed = True

    def __init__(self, limit: int) -> None:
        super().__init__(f"index is full; max vector count is {limit}")


class WrongDimensions(DataProblem):
    code = 40012

    def __init__(self, vector_id: str, expected: int, actual: int) -> None:
        super().__init__(
            f'invalid vector for id="{vector_id}", expected {expected} dimensions, and got {actual} dimensions'
        )


class InvalidId(DataProblem):
    code = 40013
    guessed = True

    def __init__(self) -> None:
        super().__init__("id must not be empty")


class TooManyNamespaces(DataProblem):
    code = 40014
    guessed = True

    def __init__(self, limit: int) -> None:
        super().__init__(f"too many namespaces; max is {limit}")


class VectorNotFound(DataProblem):
    code = 40015
    guessed = True

    def __init__(self, vector_id: str) -> None:
        super().__init__(f'vector with id="{vector_id}" not found')


class OversizedMetadata(DataProblem):
    code = 40016

    def __init__(self, vector_id: str, limit: int, actual: int) -> None:
        super().__init__(
            f'oversized metadata for vector id="{vector_id}"; the compact JSON representation of the metadata '
            f"must not exceed {limit} bytes, got {actual} bytes"
        )


class BadMetadataKey(DataProblem):
    code = 40018

    def __init__(self, vector_id: str, key: str) -> None:
        super().__init__(
            f'invalid metadata key="{key}" for vector id="{vector_id}"; keys must not be empty, '
            'contain "." or \'"\', or start with "$"'
        )


class InvalidFilter(DataProblem):
    code = 40019
    guessed = True

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid filter: {reason}")


class InvalidCursor(DataProblem):
    code = 40020
    guessed = True

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid cursor: {reason}")


class UnparsableLine(DataProblem):
    code = 40023

    def __init__(self, operation: str, line: int) -> None:
        super().__init__(
            f"failed to parse {operation} vectors request in ndjson format: line Some({line}) was not expected format"
        )


class TopKTooLarge(DataProblem):
    code = 40025

    def __init__(self, limit: int, actual: int, *, with_content: bool) -> None:
        super().__init__(
            f"with returnValues=true or returnMetadata=all, max top K is {limit}, but got {actual}; "
            "for a top K up to 100, retry with returnValues=false and returnMetadata=indexed"
            if with_content
            else f"max top K is {limit}, but got {actual}"
        )


class InvalidBody(DataProblem):
    code = 40026

    def __init__(self, reason: str) -> None:
        super().__init__(f"Failed to parse the request body as JSON: {reason}")


class NotJson(DataProblem):
    code = 40026

    def __init__(self) -> None:
        super().__init__("Expected request with `Content-Type: application/json`")


class Throttled(DataProblem):
    code = 40041

    def __init__(self) -> None:
        super().__init__("Too Many Requests")
