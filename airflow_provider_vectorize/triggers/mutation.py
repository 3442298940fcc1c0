"""The trigger that waits for mutations without holding a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_vectorize.errors import ConfigError, VectorizeError

if TYPE_CHECKING:
    from airflow_provider_vectorize.api.client import VectorizeClient
    from airflow_provider_vectorize.look import Look

#: Seconds after which a waiting task says again what it sees, though nothing changed.
SAY_AGAIN = 60.0


class VectorizeMutationTrigger(BaseTrigger):
    """Wait until mutations are visible, by the rules of :mod:`airflow_provider_vectorize.visibility`.

    Its row in the database holds ids and digests: no secret, no vectors. It may run twice, or move to another
    triggerer: what it knows then starts anew, and nothing is lost but time.

    :param waits: :meth:`~airflow_provider_vectorize.visibility.Wait.to_dict` of each mutation.
    :param vectorize_conn_id: the connection.
    :param poke_interval: seconds between two looks.
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
        try:
            connection = await get_async_connection(self.vectorize_conn_id)
        except AirflowNotFoundException:
            raise ConfigError(
                f'The triggerer finds no connection "{self.vectorize_conn_id}": it has to see those of the workers.'
            ) from None
        client, look = await asyncio.to_thread(_looking, connection, self.waits)
        said, said_at = "", 0.0
        seen: dict[str, Any] = {}
        try:
            while True:
                found = await asyncio.to_thread(look, seen)
                seen = found.seen
                if found.visible:
                    self.log.info("%s", found.text)
                    return "visible", found.text
                if found.never:
                    return "never", found.never
                now = time.monotonic()
                if found.text != said or now - said_at >= SAY_AGAIN:
                    self.log.info("%s", found.text)
                    said, said_at = found.text, now
                left = float("inf") if self.deadline is None else self.deadline - time.time()
                if left <= 0 or found.pause > left:  # while requests are blocked there is nothing to be seen
                    return "timeout", found.text
                await asyncio.sleep(max(found.pause, min(self.poke_interval, left)))
        finally:
            client.stop()
            client.close()


def _looking(
    connection: Any, waits: Sequence[Mapping[str, Any]]
) -> tuple[VectorizeClient, Callable[[Mapping[str, Any]], Look]]:
    """A client, and one look with it.

    For a thread: the imports take a fifth of a second the first time, of which the triggerer would complain, and
    reading the connection's extra fields has Airflow mask them, which talks to the supervisor.
    """
    from airflow_provider_vectorize.api.retry import RetryPolicy  # noqa: PLC0415
    from airflow_provider_vectorize.hooks.connection import client_from  # noqa: PLC0415
    from airflow_provider_vectorize.look import look  # noqa: PLC0415
    from airflow_provider_vectorize.visibility import Wait  # noqa: PLC0415

    client = client_from(connection, retry=RetryPolicy(total=0), reserve=0)
    return client, partial(look, client, [Wait.from_dict(wait) for wait in waits])
