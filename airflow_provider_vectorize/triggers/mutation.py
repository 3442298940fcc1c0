"""The trigger that waits for mutations without holding a worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.triggers.poll import Waiter

#: Seconds after which a waiting task logs its state again, even if nothing changed.
SAY_AGAIN = 60.0


class VectorizeMutationTrigger(BaseTrigger):
    """Wait until mutations are visible, by the rule of :mod:`airflow_provider_vectorize.visibility.rule`.

    All triggers of a triggerer share one poll for each connection and index, see :mod:`.poll`. The row in the
    database holds ids and digests, no secret and no vectors. The trigger may run twice or move to another triggerer:
    it then starts without the memory of the earlier one, which costs time and nothing else.

    :param waits: :meth:`~airflow_provider_vectorize.visibility.waits.Wait.to_dict` of each mutation.
    :param vectorize_conn_id: the connection.
    :param poke_interval: maximum seconds between two checks. The poll uses the shortest that a waiter asks for.
    :param deadline: time (epoch seconds) at which the wait ends without success.
    :param marker: which markers may be sent: ``delete``, ``vector`` or ``none``.
    :param proof: ``log``, or ``read_back`` to accept sample vectors as evidence.
    """

    def __init__(
        self,
        waits: Sequence[Mapping[str, Any]],
        vectorize_conn_id: str,
        poke_interval: float = 5.0,
        deadline: float | None = None,
        marker: str = "delete",
        proof: str = "log",
    ) -> None:
        super().__init__()
        self.waits = [dict(wait) for wait in waits]
        self.vectorize_conn_id = vectorize_conn_id
        self.poke_interval = poke_interval
        self.deadline = deadline
        self.marker = marker
        self.proof = proof

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, for the database."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "waits": self.waits,
                "vectorize_conn_id": self.vectorize_conn_id,
                "poke_interval": self.poke_interval,
                "deadline": self.deadline,
                "marker": self.marker,
                "proof": self.proof,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: ``status`` (``visible``, ``failed``, ``timeout`` or ``error``) and ``text``."""
        try:
            status, text = await self._wait()
        except VectorizeError as error:
            status, text = "error", str(error)
        yield TriggerEvent({"status": status, "text": text})

    async def _wait(self) -> tuple[str, str]:
        said, said_at = None, 0.0
        async with Waiter(self.vectorize_conn_id, self.waits, self.poke_interval, self.marker, self.proof) as waiter:
            while True:
                left = float("inf") if self.deadline is None else self.deadline - time.time()
                if left <= 0:
                    await waiter.last_check()
                view = waiter.view
                if view is not None:
                    if view.visible:
                        self.log.info("%s", view.text)
                        return "visible", view.text
                    if view.failure:
                        return "failed", view.failure
                    if view.news != said or time.monotonic() - said_at >= SAY_AGAIN:
                        self.log.info("%s", view.text)
                        said, said_at = view.news, time.monotonic()
                    if left <= 0 or waiter.kept_off() > left:  # while requests are blocked there is nothing to be seen
                        return "timeout", view.text
                elif left <= 0:
                    return "timeout", "The index could not be checked in time, because Vectorize limits requests."
                await waiter.news(min(max(left, 0.0), SAY_AGAIN))
