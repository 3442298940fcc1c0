"""Errors of the API. Each class defines the status, the code and the message of one error.

Problem
├── credentials     NoCredentials 9106 · MalformedAuthorization 6003+6111 · WrongToken 10000 · NoPermission 9109
│                   UnverifiableToken 1000
├── routing         NoRoute 7003 · MethodNotAllowed 10405
├── size and rate   RateLimited 971 · BodyTooLarge 413
├── indexes         UnknownContentType 1005 · IndexNotFound 3000 · InvalidConfig 3001 · DuplicateName 3002
│                   InvalidName 3003 · TooManyIndexes 3004 · IndexDeleted 3005
├── Workers KV      KvKeyNotFound 10009 · MalformedKvNamespace 10011 · KvKeyTooLong 10030
└── DataProblem     all codes 40xxx: see ``data_problems``

``guessed`` marks errors whose code Cloudflare has not published. Do not rely on these codes.
"""

from __future__ import annotations


class Problem(Exception):  # noqa: N818 - the client is at fault, not this server
    """A response of the API that reports an error."""

    status: int = 400
    code: int = 0
    guessed = False

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = headers or {}

    def error(self) -> dict[str, object]:
        """Return the element of ``errors`` in the envelope."""
        return {"code": self.code, "message": self.message}

    def body(self) -> dict[str, object]:
        """Return the complete envelope."""
        return {"success": False, "result": None, "errors": [self.error()], "messages": []}


# Credentials


class NoCredentials(Problem):
    status, code = 400, 9106

    def __init__(self) -> None:
        super().__init__("Missing X-Auth-Key, X-Auth-Email or Authorization headers")


class MalformedAuthorization(Problem):
    """The only error with an error chain: the edge refuses the header before the token is checked."""

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
    """``/user/tokens/verify`` only accepts tokens that a user owns."""

    status, code = 401, 1000

    def __init__(self) -> None:
        super().__init__("Invalid API Token")


# Routing


class NoRoute(Problem):
    status, code = 404, 7003

    def __init__(self, path: str) -> None:
        super().__init__(f"Could not route to {path}, perhaps your object identifier is invalid?")


class MethodNotAllowed(Problem):
    status, code = 405, 10405
    guessed = True

    def __init__(self, method: str) -> None:
        super().__init__(f"Method {method} not allowed for this endpoint")


# Size and rate


class RateLimited(Problem):
    status, code = 429, 971

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "Please wait and consider throttling your request speed", headers={"Retry-After": str(retry_after)}
        )


class BodyTooLarge(Problem):
    status, code = 413, 413
    guessed = True

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

    def __init__(self, reason: str) -> None:
        super().__init__(f"vectorize.index.invalid_config - {reason}")


class DuplicateName(Problem):
    code = 3002

    def __init__(self, name: str) -> None:
        super().__init__(f'vectorize.index.duplicate_name - Index name "{name}"')


class InvalidName(Problem):
    code = 3003
    guessed = True

    def __init__(self, name: str) -> None:
        super().__init__(f'vectorize.index.invalid_name - Index name "{name}"')


class TooManyIndexes(Problem):
    code = 3004
    guessed = True

    def __init__(self, limit: int) -> None:
        super().__init__(f"vectorize.index.limit_exceeded - Max indexes is {limit}")


class IndexDeleted(Problem):
    status, code = 410, 3005

    def __init__(self, name: str) -> None:
        super().__init__(f'vectorize.index.deleted - Index name "{name}"')


# Workers KV


class KvKeyNotFound(Problem):
    status, code = 404, 10009

    def __init__(self) -> None:
        super().__init__("get: 'key not found'")


class MalformedKvNamespace(Problem):
    status, code = 400, 10011

    def __init__(self, namespace: str) -> None:
        super().__init__(f"could not parse UUID from request's namespace_id: '{namespace}'")


class KvKeyTooLong(Problem):
    status, code = 414, 10030
    guessed = True

    def __init__(self, operation: str, length: int, limit: int) -> None:
        super().__init__(f"{operation}: 'UTF-8 encoded length of {length} exceeds key length limit of {limit}.'")
