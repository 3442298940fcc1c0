"""The trigger that waits for mutations without holding a worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.triggers.poll import Waiter

#: Seconds after which a waiting task says again what it sees, though nothing changed.
SAY_AGAIN = 60.0


class VectorizeMutationTrigger(BaseTrigger):
    """Wait until mutations are visible, by the rules of :mod:`airflow_provider_vectorize.visibility`.

    All triggers of a triggerer share one poll for each connection and index, see :mod:`.poll`. Its row in the
    database holds ids and digests: no secret, no vectors. It may run twice, or move to another triggerer: what it
    knows then starts anew, and nothing is lost but time.

    :param waits: :meth:`~airflow_provider_vectorize.waits.Wait.to_dict` of each mutation.
    :param vectorize_conn_id: the connection.
    :param poke_interval: seconds between two looks, at most: the poll takes the shortest that is asked for.
    :param deadline: time (epoch seconds) at which it gives up.
    """

    def __init__(
        self,
        waits: Sequence[Mapping[str, Any]],
        vectorize_conn_id: str,
        poke_interval: float = 5.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__()
        self.waits = [dict(wait) for wait in waits]
        self.vectorize_conn_id = vectorize_conn_id
        self.poke_interval = poke_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, for the database."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "waits": self.waits,
                "vectorize_conn_id": self.vectorize_conn_id,
                "poke_interval": self.poke_interval,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: ``status`` (``visible``, ``never``, ``timeout`` or ``error``) and ``text``."""
        try:
            status, text = await self._wait()
        except VectorizeError as error:
            status, text = "error", str(error)
        yield TriggerEvent({"status": status, "text": text})

    async def _wait(self) -> tuple[str, str]:
        said, said_at = None, 0.0
        async with Waiter(self.vectorize_conn_id, self.waits, self.poke_interval) as waiter:
            while True:
                left = float("inf") if self.deadline is None else self.deadline - time.time()
                if left <= 0:
                    await waiter.last_look()
                view = waiter.view
                if view is not None:
                    if view.visible:
                        self.log.info("%s", view.text)
                        return "visible", view.text
                    if view.never:
                        return "never", view.never
                    if view.lacks != said or time.monotonic() - said_at >= SAY_AGAIN:
                        self.log.info("%s", view.text)
                        said, said_at = view.lacks, time.monotonic()
                    if left <= 0 or waiter.kept_off() > left:  # while requests are blocked there is nothing to be seen
                        return "timeout", view.text
                elif left <= 0:
                    return "timeout", "Nothing could be looked at in time, because requests are limited."
                await waiter.news(min(max(left, 0.0), SAY_AGAIN))
