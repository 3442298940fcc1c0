"""One trigger's subscription to the poll of an index that it watches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_vectorize.triggers.poll import Poll, get_or_start_poll
from airflow_provider_vectorize.triggers.view import View

if TYPE_CHECKING:
    from airflow_provider_vectorize.visibility.monitor import WaitRequest


class Watch:
    """Receives the state of an index after each check. Use it as an async context manager.

    :param conn_id: Connection to Vectorize.
    :param index_name: Name of the index.
    :param interval: Maximum number of seconds between two checks.
    """

    def __init__(self, conn_id: str, index_name: str, interval: float) -> None:
        self.interval = interval
        self._conn_id = conn_id
        self._index_name = index_name
        self._poll: Poll | None = None
        self._view: View | None = None
        self._wake = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._poll:
            self._poll.waiters.pop(self, None)

    async def next_view(self) -> View:
        """Wait for the next check, and return its result. Of several checks since the last call, return the last."""
        while True:
            if self._poll is None:  # not joined yet, or the poll was cancelled
                self._poll = get_or_start_poll(self._conn_id, self._index_name)
                self._poll.add(self)
            await self._wake.wait()
            self._wake.clear()
            view, self._view = self._view, None
            if view:
                return view

    def wait_request(self, waits: Sequence[Mapping[str, Any]]) -> WaitRequest:
        """Raise an error, because a watch waits for no mutations."""
        raise NotImplementedError

    def receive(self, index_name: str, view: View) -> bool:
        """Store the result of a check, and wake the trigger."""
        self._view = view
        self._wake.set()
        return True

    def poll_ended(self, index_name: str) -> None:
        """Wake the trigger after the poll was cancelled, so that it joins another one."""
        self._poll = None
        self._wake.set()
