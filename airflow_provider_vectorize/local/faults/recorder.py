"""Record of all requests to the API, without credentials."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MAX_RECORDS = 100_000


@dataclass(slots=True)
class RequestRecord:
    """One request. It is recorded when it arrives, and completed while it is processed."""

    method: str
    path: str
    query: str
    operation: str
    started: float
    """Time at which its headers were received, in seconds since 1970."""
    ended: float | None = None
    status: int | None = None
    """None while the request is processed, and if the connection was closed without a response."""
    body_bytes: int = 0
    vectors: int = 0
    mutation_id: str | None = None
    in_block: bool = False
    """Whether it arrived during a rate-limit block of its token."""
    fault: str | None = None
    """The fault that was applied to it."""
    code: int | None = None
    """The code of the error in the response, or None."""


class Recorder:
    """Keeps the last 100,000 requests."""

    def __init__(self) -> None:
        self.requests: deque[RequestRecord] = deque(maxlen=MAX_RECORDS)

    def record(self, method: str, path: str, query: str, operation: str, now: float) -> RequestRecord:
        new_record = RequestRecord(method, path, query, operation, now)
        self.requests.append(new_record)
        return new_record
