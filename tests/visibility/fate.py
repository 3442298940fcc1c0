"""What happens to a request on its way, and what is recorded about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from airflow_provider_vectorize.local.engine.problems import Problem
from airflow_provider_vectorize.local.routes import WRITES


@dataclass(frozen=True)
class Fate:
    """What happens to one request. The default is a request that nothing happens to.

    :param travel: Seconds until the request arrives at Vectorize.
    :param carried_out: Seconds from its arrival to each time that it is carried out: ``()`` for a lost request,
        ``(150.0,)`` for a late one, ``(0.0, 5.0)`` for one that is carried out twice.
    :param answer: ``"real"``, which needs a ``0.0`` in ``carried_out``; ``"timeout"``, after the client's read
        timeout; ``"cut"``, a connection that ends at once; a status, with a page of the edge; or a Problem of the
        local Vectorize, such as ``Throttled()``.
    :param answer_travel: Seconds from the carrying out to the arrival of the answer.
    :param lag: A read is answered by a replica that is this many seconds behind: it may show an earlier batch, an
        earlier incarnation of the index, or that there is no such index.
    :param date_skew: Seconds by which the ``Date`` header is wrong; ``None`` omits the header.
    """

    travel: float = 0.01
    carried_out: tuple[float, ...] = (0.0,)
    answer: Literal["real", "timeout", "cut"] | int | Problem = "real"
    answer_travel: float = 0.01
    lag: float = 0.0
    date_skew: float | None = 0.0


LOST = Fate(carried_out=(), answer="timeout")
ANSWER_LOST = Fate(answer="timeout")


@dataclass
class Sent:
    """One request of a client.

    :param client: Name of the client.
    :param operation: ``upsert``, ``info`` …: the names of the local Vectorize's faults.
    :param index: Name of the index, empty for ``list_indexes`` and ``create_index``.
    :param begun_at: When it was sent, in virtual time.
    :param fate: What happens to it.
    :param mutation_ids: The mutations that it made, also those whose answers were lost.
    """

    client: str
    operation: str
    index: str
    begun_at: float
    fate: Fate = field(default_factory=Fate)
    mutation_ids: list[str] = field(default_factory=list)

    @property
    def write(self) -> bool:
        """Whether it changes something."""
        return self.operation in WRITES
