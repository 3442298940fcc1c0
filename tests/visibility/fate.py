"""The fate of a request on its way to Vectorize and back, and the record of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from airflow_provider_vectorize.local.engine.problems import Problem
from airflow_provider_vectorize.local.routes import WRITES


@dataclass(frozen=True)
class Fate:
    """What happens to one request. By default, it is delivered, carried out and answered once.

    :param travel: Seconds until the request arrives at Vectorize.
    :param carried_out: Seconds from its arrival to each execution: ``()`` for a lost request, ``(150.0,)`` for a late
        request, ``(0.0, 5.0)`` for a request that is carried out twice.
    :param answer: ``"real"``, which requires a ``0.0`` in ``carried_out``. ``"timeout"``: no answer until the client's
        read timeout. ``"cut"``: the connection ends at once. A status: an HTML page of Cloudflare's edge with this
        status. A Problem of the local Vectorize, such as ``Throttled()``: its answer.
    :param answer_travel: Seconds from the execution to the arrival of the answer.
    :param lag: Seconds that the replica which answers a read lags behind. It may show an earlier batch, an earlier
        incarnation of the index, or no index.
    :param date_skew: Seconds by which the ``Date`` header is wrong. ``None`` omits the header.
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
class SentRequest:
    """One request of a client.

    :param client: Name of the client.
    :param operation: Operation name as in the faults of the local Vectorize: ``upsert``, ``info`` …
    :param index: Name of the index, empty for ``list_indexes`` and ``create_index``.
    :param sent_at: Virtual time at which it was sent.
    :param message: The request as it was sent.
    :param fate: What happens to it.
    :param mutation_ids: Mutations that it created, including those whose answers were lost.
    """

    client: str
    operation: str
    index: str
    sent_at: float
    message: bytes = field(repr=False, default=b"")
    fate: Fate = field(default_factory=Fate)
    mutation_ids: list[str] = field(default_factory=list)

    @property
    def write(self) -> bool:
        """Whether the operation writes."""
        return self.operation in WRITES
