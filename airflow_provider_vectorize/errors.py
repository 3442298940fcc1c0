"""The errors of the provider, in one class tree.

    VectorizeError
    ├── ConfigError                 A connection or a parameter is wrong. Nothing was sent.
    ├── SourceError                 The source cannot be read.
    │   └── BadRowError             Vectorize can never accept a row of the source.
    ├── VectorsNotFoundError        The index does not have, or does not yet show, these ids.
    ├── CheckError                  An index does not hold, or does not find, what it should.
    ├── SwitchOverError             A switch-over was refused, or could not be confirmed.
    ├── SyncError                   A sync withheld deletions, or found that its state and the index differ.
    │   └── SyncTakenOverError      Another run of the same sync has started.
    └── ApiError                    A request failed, or got no usable answer.
        ├── TerminalApiError        Repeating the request cannot help.
        │   ├── AuthError
        │   ├── IndexNotFoundError
        │   │   └── IndexDeletedError
        │   ├── IndexExistsError
        │   ├── InvalidIndexConfigError
        │   ├── MetadataIndexNotFoundError
        │   ├── KvNamespaceNotFoundError
        │   ├── KvKeyNotFoundError
        │   ├── InvalidRequestError
        │   │   ├── InvalidQueryError
        │   │   ├── TooManyIdsError
        │   │   ├── UnknownContentTypeError
        │   │   └── CursorExpiredError
        │   ├── PayloadTooLargeError
        │   └── RefusedVectorError  One row was refused. The rest of the batch is fine.
        └── TransientApiError       Repeating the request is safe and likely to help.
            ├── RateLimitedError
            ├── ServerError
            ├── NoAnswerError
            └── MalformedAnswerError

No error contains a credential. Every error can be pickled with its attributes, so that it can be passed between
processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class VectorizeError(Exception):
    """Base class of all errors of the provider.

    :param message: One or more sentences for the reader of the task's log.
    :param facts: Values that the message refers to. Each becomes an attribute of the error.
    """

    #: Summary of what was acknowledged before a load or a deletion failed. Empty for other operations.
    progress: str = ""
    #: Whether a retry cannot succeed until somebody changes something. If so, tasks fail without further retries.
    permanent: bool = False

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts
        for name, value in facts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return f"{self.message} {self.progress}" if self.progress else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.facts, self.progress)


def _rebuild(cls: type[VectorizeError], message: str, facts: dict[str, Any], progress: str) -> VectorizeError:
    error = cls(message, **facts)
    error.progress = progress
    return error


class ConfigError(VectorizeError):
    """A connection or a parameter is wrong. Nothing was sent."""

    permanent = True


class SourceError(VectorizeError):
    """The source is missing, empty, truncated, unreadable, or was changed while it was read.

    :ivar uri: URI of the object.
    """

    uri: str = ""


class BadRowError(SourceError):
    """Vectorize can never accept a row of the source.

    :ivar uri: URI of the object.
    :ivar line: Line number of the row, starting at 1. In a part of an object, lines are counted from its start. Of
        Parquet, the number of the row in the object, also if only a part of the object is read.
    :ivar offset: Byte offset of the line in the decompressed object, also if only a part of the object is read. 0 for
        Parquet.
    :ivar row_group: Number of the row group, starting at 0. ``None`` unless the object is Parquet.
    :ivar reason: Reason why the row is bad.
    """

    line: int = 0
    offset: int = 0
    row_group: int | None = None
    reason: str = ""
    permanent = True


class VectorsNotFoundError(VectorizeError):
    """The index has no vectors with these ids, or does not show them yet.

    :ivar index_name: Name of the index.
    :ivar ids: Ids that were not found.
    """

    index_name: str = ""
    ids: tuple[str, ...] = ()


class CheckError(VectorizeError):
    """An index fell short of the gates of a check. A retry checks it again.

    :ivar index_name: Name of the index.
    :ivar result: The figures of all gates, as the check would have returned them.
    """

    index_name: str = ""
    result: Mapping[str, Any] | None = None


class SwitchOverError(VectorizeError):
    """A switch-over was refused because the pointer or an index is not as expected, or it could not be confirmed.

    :ivar pointer: URI of the pointer.
    """

    pointer: str = ""
    permanent = True


class SyncError(VectorizeError):
    """A sync must be looked at: it withheld deletions or all writes, or the index is not what the state says.

    :ivar plan: ID of the plan that can be approved, or empty.
    :ivar result: What the run did, as the sync would have returned it. ``None`` if nothing was committed.
    """

    plan: str = ""
    result: Mapping[str, Any] | None = None
    permanent = True


class SyncTakenOverError(SyncError):
    """Another run of the same sync has claimed the state, so this run stops.

    :ivar run: ID of the other run.
    """

    run: str = ""


class ApiError(VectorizeError):
    """A request to Vectorize failed, or got no usable answer.

    :ivar status: HTTP status, or ``None`` if no answer was received.
    :ivar code: Cloudflare's error code, or ``None``.
    :ivar api_message: Cloudflare's error message.
    :ivar method: HTTP method of the request.
    :ivar path: Path of the request, without host and query.
    :ivar ray: Value of the ``cf-ray`` header, which Cloudflare's support asks for.
    """

    status: int | None = None
    code: int | None = None
    api_message: str = ""
    method: str = ""
    path: str = ""
    ray: str | None = None
    #: Seconds to wait before the next attempt, from the ``Retry-After`` header.
    retry_after: float | None = None
    #: Whether an earlier attempt of the same request got no answer, so that it may have been carried out.
    maybe_done: bool = False
    #: Whether the address may be wrong: no connection was made or another server answered, and Vectorize never has.
    address_may_be_wrong: bool = False


class TerminalApiError(ApiError):
    """Repeating the request cannot help."""

    permanent = True


class AuthError(TerminalApiError):
    """The credentials are missing, malformed or wrong, or they lack a permission."""


class IndexNotFoundError(TerminalApiError):
    """The account has no index with that name."""


class IndexDeletedError(IndexNotFoundError):
    """The index was deleted."""


class IndexExistsError(TerminalApiError):
    """An index with that name already exists."""


class InvalidIndexConfigError(TerminalApiError):
    """Dimensions, metric or preset of an index are not allowed or do not match the existing index."""


class MetadataIndexNotFoundError(TerminalApiError):
    """The property has no metadata index."""


class KvNamespaceNotFoundError(TerminalApiError):
    """The account has no namespace with that ID in Workers KV."""


class KvKeyNotFoundError(TerminalApiError):
    """The namespace of Workers KV has no such key."""


class InvalidRequestError(TerminalApiError):
    """The request is malformed or exceeds a limit."""


class InvalidQueryError(InvalidRequestError):
    """The query's vector, topK or filter is not allowed."""


class TooManyIdsError(InvalidRequestError):
    """The request has more ids than allowed."""


class UnknownContentTypeError(InvalidRequestError):
    """The body is neither ndjson nor a form that contains an ndjson file."""


class CursorExpiredError(InvalidRequestError):
    """The cursor of a listing has expired, so the listing must start over."""


class PayloadTooLargeError(TerminalApiError):
    """The request body exceeds the size limit."""


class RefusedVectorError(TerminalApiError):
    """One vector was refused, and with it the whole batch, because writes are atomic."""


class TransientApiError(ApiError):
    """Repeating the request is safe and likely to help."""


class RateLimitedError(TransientApiError):
    """The account (status 429) or the index (status 400, code 40041) received too many requests."""


class ServerError(TransientApiError):
    """Cloudflare answered with a 5xx status, often with an HTML page."""


class NoAnswerError(TransientApiError):
    """The connection was refused, reset or cut, or it timed out. The request may have been carried out."""


class MalformedAnswerError(TransientApiError):
    """The status reports success, but the body is not the documented JSON envelope."""
