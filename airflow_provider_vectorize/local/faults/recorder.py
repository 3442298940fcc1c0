"""What arrived: every request to the API, without its credentials."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MOST = 100_000


@dataclass(slots=True)
class Recorded:
    """One request; filled in while it is answered, and recorded when it arrived."""

    method: str
    path: str
    query: str
    operation: str
    started: float
    """When its headers were in, in seconds since 1970."""
    ended: float | None = None
    status: int | None = None
    """None while it is being answered, and when the connection was cut."""
    body_bytes: int = 0
    vectors: int = 0
    mutation_id: str | None = None
    in_block: bool = False
    """Whether it came while its token was blocked for going over the budget."""
    fault: str | None = None
    """The fault that it met."""


class Recorder:
    """Remembers the last hundred thousand."""

    def __init__(self) -> None:
        self.requests: deque[Recorded] = deque(maxlen=MOST)

    def arrive(self, method: str, path: str, query: str, operation: str, now: float) -> Recorded:
        recorded = Recorded(method, path, query, operation, now)
        self.requests.append(recorded)
        return recorded
