"""Every error of the provider, in one tree.

    VectorizeError
    ├── ConfigError                 a connection or a parameter is wrong; nothing was sent
    ├── SourceError                 the source cannot be read as it should be
    │   └── BadRowError             a row of it can never be accepted
    ├── VectorsNotFoundError        the index has no vectors with these ids, or not yet
    └── ApiError                    Vectorize answered (or failed to)
        ├── TerminalApiError        sending it again cannot help
        │   ├── AuthError
        │   ├── IndexNotFoundError
        │   │   └── IndexDeletedError
        │   ├── IndexExistsError
        │   ├── InvalidIndexConfigError
        │   ├── MetadataIndexNotFoundError
        │   ├── InvalidRequestError
        │   │   ├── InvalidQueryError
        │   │   ├── TooManyIdsError
        │   │   ├── UnknownContentTypeError
        │   │   └── CursorExpiredError
        │   ├── PayloadTooLargeError
        │   └── RefusedVectorError  a row of the batch is bad, the others are innocent
        └── TransientApiError       sending it again is safe, and likely to help
            ├── RateLimitedError
            ├── ServerError
            ├── NoAnswerError
            └── MalformedAnswerError

None of them ever holds a credential. All of them survive pickling, so that a process can hand
one to another with its facts.
"""

from __future__ import annotations

from typing import Any


class VectorizeError(Exception):
    """Base of the tree.

    :param message: one or more sentences for the person who reads the task's log.
    :param facts: what the sentences are made of; each becomes an attribute.
    """

    #: What a load had sent and seen acknowledged before it failed; empty outside of loads.
    progress: str = ""
    #: Whether trying again cannot help until somebody changes something. Tasks fail at once then, without retries.
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
    """A connection or a parameter is wrong, found before anything was sent."""

    permanent = True


class SourceError(VectorizeError):
    """The source is missing, empty, cut off, unreadable, or changed while it was read.

    :param uri: the object.
    """

    uri: str = ""


class BadRowError(SourceError):
    """A row of the source that Vectorize can never accept.

    :param uri: the object.
    :param line: its line number, from 1; of a part of an object, from where the part begins.
    :param offset: the byte at which the line begins, in the decompressed object, whole or not.
    :param reason: what is wrong with it.
    """

    line: int = 0
    offset: int = 0
    reason: str = ""
    permanent = True


class VectorsNotFoundError(VectorizeError):
    """The index has no vectors with these ids, or does not show them yet.

    :param index_name: the index.
    :param ids: the ids that were not found.
    """

    index_name: str = ""
    ids: tuple[str, ...] = ()


class ApiError(VectorizeError):
    """What Vectorize answered, or how it failed to.

    :param status: the HTTP status, or ``None`` where no answer came.
    :param code: Cloudflare's error code, or ``None``.
    :param api_message: Cloudflare's own sentence.
    :param method: the request's method.
    :param path: the request's path, without host and query.
    :param ray: the ``cf-ray`` header, which Cloudflare's support asks for.
    """

    status: int | None = None
    code: int | None = None
    api_message: str = ""
    method: str = ""
    path: str = ""
    ray: str | None = None
    #: Seconds the answer asked to wait, from ``Retry-After``.
    retry_after: float | None = None
    #: Whether an earlier attempt of the same request had no answer: it may have been carried out, unheard.
    maybe_done: bool = False
    #: Whether something other than Vectorize answered, or no connection was made, and Vectorize never answered before.
    address_may_be_wrong: bool = False


class TerminalApiError(ApiError):
    """Sending the same request again cannot help."""

    permanent = True


class AuthError(TerminalApiError):
    """The credentials are missing, malformed, wrong, or lack a permission."""


class IndexNotFoundError(TerminalApiError):
    """There is no index of that name in the account."""


class IndexDeletedError(IndexNotFoundError):
    """The index was deleted."""


class IndexExistsError(TerminalApiError):
    """An index of that name is there already."""


class InvalidIndexConfigError(TerminalApiError):
    """Dimensions, metric or preset of an index are not allowed, or do not agree with what is there."""


class MetadataIndexNotFoundError(TerminalApiError):
    """There is no metadata index on that property."""


class InvalidRequestError(TerminalApiError):
    """The request itself is malformed or over a limit."""


class InvalidQueryError(InvalidRequestError):
    """The query's vector, topK or filter is not allowed."""


class TooManyIdsError(InvalidRequestError):
    """More ids than one request may carry."""


class UnknownContentTypeError(InvalidRequestError):
    """The body is neither ndjson nor a form with a file of it."""


class CursorExpiredError(InvalidRequestError):
    """The cursor of a listing is too old: the listing has to start over."""


class PayloadTooLargeError(TerminalApiError):
    """The body is over the limit of a request."""


class RefusedVectorError(TerminalApiError):
    """One vector of the batch is refused, and with it the whole batch: writes are atomic."""


class TransientApiError(ApiError):
    """Sending the same request again is safe and likely to help."""


class RateLimitedError(TransientApiError):
    """Too many requests, from the account (429) or at the index (400, code 40041)."""


class ServerError(TransientApiError):
    """Cloudflare failed: a status of 5xx, often with a page of HTML."""


class NoAnswerError(TransientApiError):
    """The connection was refused, reset, cut or timed out. The request may have been carried out."""


class MalformedAnswerError(TransientApiError):
    """A good status with a body that is not the documented envelope."""
