"""One class for each error of the API. The text, code and status here are what goes over the wire.

Problem
├── Unauthorised problems      NoCredentials 9106 · MalformedAuthorization 6003+6111 · WrongToken 10000
│                              NoPermission 9109 · UnverifiableToken 1000
├── Unroutable problems        NoRoute 7003 · MethodNotAllowed 10405
├── RateLimited 971 · Throttled 40041 · BodyTooLarge 413
├── Indexes                    UnknownContentType 1005 · IndexNotFound 3000 · InvalidConfig 3001
│                              DuplicateName 3002 · IndexDeleted 3005 · InvalidName, TooManyIndexes (guessed codes)
└── DataProblem                everything 40xxx, which carries ``"result_info": null`` besides
"""

from __future__ import annotations


class Problem(Exception):
    """An answer of the API other than success: status, code and sentence."""

    status: int = 400
    code: int = 0
    plain = False

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = headers or {}

    def error(self) -> dict[str, object]:
        """The item for the envelope's ``errors``."""
        return {"code": self.code, "message": self.message}

    def body(self) -> dict[str, object]:
        """The whole envelope."""
        return {"success": False, "result": None, "errors": [self.error()], "messages": []}


# Who is asking


class NoCredentials(Problem):
    status, code = 400, 9106

    def __init__(self) -> None:
        super().__init__("Missing X-Auth-Key, X-Auth-Email or Authorization headers")


class MalformedAuthorization(Problem):
    """The only one with an error chain: the edge refuses the header before anything looks at the token."""

    status, code = 400, 6003

    def __init__(self) -> None:
        super().__init__("Invalid request headers")

    def error(self) -> dict[str, object]:
        return super().error() | {"error_chain": [{"code": 6111, "message": "Invalid format for Authorization header"}]}


class WrongToken(Problem):
    status, code = 401, 10000

    def __init__(self) -> None:
        super().__init__("Authentication error")


class NoPermission(Problem):
    status, code = 403, 9109

    def __init__(self) -> None:
        super().__init__("Unauthorized to access requested resource")


class UnverifiableToken(Problem):
    """``/user/tokens/verify`` knows only user-owned tokens."""

    status, code = 401, 1000

    def __init__(self) -> None:
        super().__init__("Invalid API Token")


# Where to


class NoRoute(Problem):
    status, code = 404, 7003

    def __init__(self, path: str) -> None:
        super().__init__(f"Could not route to {path}, perhaps your object identifier is invalid?")


class MethodNotAllowed(Problem):
    status, code = 405, 10405

    def __init__(self, method: str) -> None:
        super().__init__(f"Method {method} not allowed for this endpoint")


# Not now, not that much


class RateLimited(Problem):
    status, code = 429, 971

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "Please wait and consider throttling your request speed", headers={"Retry-After": str(retry_after)}
        )


class BodyTooLarge(Problem):
    status, code = 413, 413

    def __init__(self) -> None:
        super().__init__("Request Entity Too Large")


# Indexes


class UnknownContentType(Problem):
    code = 1005

    def __init__(self) -> None:
        super().__init__("vectorize.unknown_content_type")


class IndexNotFound(Problem):
    status, code = 404, 3000

    def __init__(self, name: str) -> None:
        super().__init__(f'vectorize.index.not_found - Index name "{name}"')


class InvalidConfig(Problem):
    code = 3001

    def __init__(self, why: str) -> None:
        super().__init__(f"vectorize.index.invalid_config - {why}")


class DuplicateName(Problem):
    code = 3002

    def __init__(self, name: str) -> None:
        super().__init__(f'vectorize.index.duplicate_name - Index name "{name}"')


class InvalidName(Problem):
    code = 3003

    def __init__(self, name: str) -> None:
        super().__init__(f'vectorize.index.invalid_name - Index name "{name}"')


class TooManyIndexes(Problem):
    code = 3004

    def __init__(self, most: int) -> None:
        super().__init__(f"vectorize.index.limit_exceeded - Max indexes is {most}")


class IndexDeleted(Problem):
    status, code = 410, 3005

    def __init__(self, name: str) -> None:
        super().__init__(f'vectorize.index.deleted - Index name "{name}"')


# Vectors, queries, metadata indexes


class DataProblem(Problem):
    """What the data plane answers."""

    def body(self) -> dict[str, object]:
        return {"success": False, "result": None, "result_info": None, "errors": [self.error()], "messages": []}


class TooManyMetadataIndexes(DataProblem):
    code = 40004

    def __init__(self, most: int) -> None:
        super().__init__(f"too many metadata indexes; max is {most}")


class NoMetadataIndex(DataProblem):
    code = 40005

    def __init__(self, name: str) -> None:
        super().__init__(f"metadata index with name={name} does not exist")


class WrongQueryDimensions(DataProblem):
    code = 40006

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"invalid query vector, expected {expected} dimensions, and got {got} dimensions")


class TooManyIds(DataProblem):
    code = 40007

    def __init__(self, most: int, got: int, *, says_got: bool) -> None:
        super().__init__(f"too many ids in payload; max id count is {most}" + (f", got {got}" if says_got else ""))


class IdTooLong(DataProblem):
    code = 40008

    def __init__(self, most: int, got: int) -> None:
        super().__init__(f"id too long; max is {most} bytes, got {got} bytes")


class NamespaceTooLong(DataProblem):
    code = 40009

    def __init__(self, most: int, got: int) -> None:
        super().__init__(f"namespace too long; max is {most} bytes, got {got} bytes")


class TooManyVectors(DataProblem):
    code = 40010

    def __init__(self, most: int, got: int) -> None:
        super().__init__(f"too many vectors in payload; max is {most}, got {got}")


class IndexFull(DataProblem):
    code = 40011

    def __init__(self, most: int) -> None:
        super().__init__(f"index is full; max vector count is {most}")


class WrongDimensions(DataProblem):
    code = 40012

    def __init__(self, vector_id: str, expected: int, got: int) -> None:
        super().__init__(
            f'invalid vector for id="{vector_id}", expected {expected} dimensions, and got {got} dimensions'
        )


class InvalidId(DataProblem):
    code = 40013

    def __init__(self) -> None:
        super().__init__("id must not be empty")


class TooManyNamespaces(DataProblem):
    code = 40014

    def __init__(self, most: int) -> None:
        super().__init__(f"too many namespaces; max is {most}")


class VectorNotFound(DataProblem):
    code = 40015

    def __init__(self, vector_id: str) -> None:
        super().__init__(f'vector with id="{vector_id}" not found')


class OversizedMetadata(DataProblem):
    code = 40016

    def __init__(self, vector_id: str, most: int, got: int) -> None:
        super().__init__(
            f'oversized metadata for vector id="{vector_id}"; the compact JSON representation of the metadata '
            f"must not exceed {most} bytes, got {got} bytes"
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

    def __init__(self, why: str) -> None:
        super().__init__(f"invalid filter: {why}")


class InvalidCursor(DataProblem):
    code = 40020

    def __init__(self, why: str) -> None:
        super().__init__(f"invalid cursor: {why}")


class UnparsableLine(DataProblem):
    code = 40023

    def __init__(self, operation: str, line: int) -> None:
        super().__init__(
            f"failed to parse {operation} vectors request in ndjson format: line Some({line}) was not expected format"
        )


class TopKTooLarge(DataProblem):
    code = 40025

    def __init__(self, most: int, got: int, *, with_content: bool) -> None:
        super().__init__(
            f"with returnValues=true or returnMetadata=all, max top K is {most}, but got {got}; "
            "retry with returnValues=false and returnMetadata=indexed or none"
            if with_content
            else f"max top K is {most}, but got {got}"
        )


class InvalidBody(DataProblem):
    code = 40026

    def __init__(self, why: str) -> None:
        super().__init__(f"Failed to parse the request body as JSON: {why}")


class NotJson(DataProblem):
    code = 40026

    def __init__(self) -> None:
        super().__init__("Expected request with `Content-Type: application/json`")


class Throttled(DataProblem):
    code = 40041

    def __init__(self) -> None:
        super().__init__("Too Many Requests")
