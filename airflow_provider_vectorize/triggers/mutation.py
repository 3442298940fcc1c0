"""The trigger that waits for mutations without occupying a worker slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.triggers.waiter import Waiter

#: Seconds after which a waiting trigger logs its state again, even if nothing changed.
LOG_INTERVAL_SECONDS = 60.0
#: Minimum number of seconds between the start of a trigger and its event. Airflow, up to 3.3.2 or later, fails a
#: deferred task that resumes before the scheduler has seen its first process end (apache/airflow#72716).
HANDOVER_SECONDS = 10.0


class VectorizeMutationTrigger(BaseTrigger):
    """Wait until mutations are visible, by the rule of :mod:`airflow_provider_vectorize.visibility.rule`.

    All triggers of a triggerer share one poll for each connection and index, see :mod:`.poll`. The row in the database
    contains ids and digests, but no secrets and no vectors. The trigger may run twice at the same time or move to
    another triggerer. It then starts without what it has already observed, so it may need more time.

    :param waits: :meth:`~airflow_provider_vectorize.visibility.waits.Wait.to_dict` of each mutation.
    :param vectorize_conn_id: Connection to Vectorize.
    :param poke_interval: Maximum number of seconds between two checks. A poll uses the shortest interval of its
        waiters. Default: 5.
    :param deadline: Time (epoch seconds) at which the wait ends without success. Default: no deadline.
    :param marker: Kind of marker that may be sent: ``delete`` (default), ``vector`` or ``none``.
    :param proof: ``log`` (default), or ``read_back`` to also accept sample vectors as evidence.
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
        """Return the class path and the arguments for the database."""
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
        """Yield one event with ``status`` (``visible``, ``failed``, ``timeout`` or ``error``) and ``text``.

        It never comes within :data:`HANDOVER_SECONDS` of the start.
        """
        handed_over = time.monotonic() + HANDOVER_SECONDS
        try:
            status, text = await self._wait()
        except VectorizeError as error:
            status, text = "error", str(error)
        await asyncio.sleep(max(0.0, handed_over - time.monotonic()))
        yield TriggerEvent({"status": status, "text": text})

    async def _wait(self) -> tuple[str, str]:
        logged_progress, logged_at = None, 0.0
        async with Waiter(self.vectorize_conn_id, self.waits, self.poke_interval, self.marker, self.proof) as waiter:
            while True:
                remaining = float("inf") if self.deadline is None else self.deadline - time.time()
                if remaining <= 0:
                    await waiter.wait_for_final_check()
                view = waiter.view
                if view is not None:
                    if view.visible:
                        self.log.info("%s", view.text)
                        return "visible", view.text
                    if view.failure:
                        return "failed", view.failure
                    if view.progress != logged_progress or time.monotonic() - logged_at >= LOG_INTERVAL_SECONDS:
                        self.log.info("%s", view.text)
                        logged_progress, logged_at = view.progress, time.monotonic()
                    if remaining <= 0 or waiter.seconds_blocked() > remaining:  # no check is possible before the end
                        return "timeout", view.text
                elif remaining <= 0:
                    return "timeout", "The index could not be checked before the deadline: Vectorize limits requests."
                await waiter.wait_for_change(min(max(remaining, 0.0), LOG_INTERVAL_SECONDS))
