"""One trigger's subscription to the polls of the indexes whose mutations it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_vectorize.triggers.poll import FRESH_SECONDS, Poll, get_or_start_poll
from airflow_provider_vectorize.triggers.view import View

if TYPE_CHECKING:
    from airflow_provider_vectorize.visibility.monitor import WaitRequest


class Waiter:
    """One trigger's subscription to the polls of its indexes. Use it as an async context manager.

    :param conn_id: Connection to Vectorize.
    :param waits: :meth:`~airflow_provider_vectorize.visibility.waits.Wait.to_dict` of each mutation.
    :param interval: Maximum number of seconds between two checks. A poll uses the shortest interval of its waiters.
    :param marker: Kind of marker that this trigger allows: ``delete``, ``vector`` or ``none``.
    :param proof: ``log`` or ``read_back``.
    """

    def __init__(
        self,
        conn_id: str,
        waits: Sequence[Mapping[str, Any]],
        interval: float,
        marker: str = "delete",
        proof: str = "log",
    ) -> None:
        self.interval = interval
        self.marker = marker
        self.proof = proof
        self._conn_id = conn_id
        self._waits: dict[str, list[Mapping[str, Any]]] = {}
        for wait in waits:
            self._waits.setdefault(str(wait.get("index_name")), []).append(wait)
        self._views: dict[str, View] = {}
        self._polls: dict[str, Poll] = {}
        self._changed = asyncio.Event()
        self._awaits_final_check = False

    async def __aenter__(self) -> Self:
        self._join_polls()
        return self

    async def __aexit__(self, *_: object) -> None:
        for poll in self._polls.values():
            poll.waiters.pop(self, None)

    def _join_polls(self) -> None:
        """Join a poll of each index that is not visible yet, also after a poll was cancelled."""
        for index_name, waits in self._waits.items():
            if index_name not in self._polls and not self._is_visible(index_name):
                self._polls[index_name] = get_or_start_poll(self._conn_id, index_name)
                self._polls[index_name].add(self, waits)

    def wait_request(self, waits: Sequence[Mapping[str, Any]]) -> WaitRequest:
        """Return what this trigger asks of the monitor. Runs in a thread.

        :raises ConfigError: Another version of the provider wrote the arguments, and this version cannot read them.
        """
        from airflow_provider_vectorize.visibility.monitor import parse_wait_request  # noqa: PLC0415

        return parse_wait_request(waits, self.marker, self.proof)

    def _is_visible(self, index_name: str) -> bool:
        return index_name in self._views and self._views[index_name].visible

    def receive(self, index_name: str, view: View) -> bool:
        """Store the result of a check of an index. Return whether the trigger has to wake up."""
        before = self._views.get(index_name)
        self._views[index_name] = view
        if view.visible:
            self._polls.pop(index_name).waiters.pop(self, None)
        changed = self._awaits_final_check or before is None or not view.missing or view.progress != before.progress
        if changed:
            self._changed.set()
        return changed

    def poll_ended(self, index_name: str) -> None:
        """Wake the trigger after the poll of an index was cancelled, so that it joins another one."""
        del self._polls[index_name]
        self._changed.set()

    async def wait_for_change(self, seconds: float) -> None:
        """Return when something has changed, or after this many seconds."""
        self._join_polls()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    async def wait_for_final_check(self) -> None:
        """Return when the latest check of every index is fresh, or when requests are blocked."""
        oldest_allowed = asyncio.get_running_loop().time() - min(self.interval, FRESH_SECONDS)
        self._awaits_final_check = True
        for poll in self._polls.values():
            poll.check_soon()
        while not self.seconds_blocked() and any(
            index_name not in self._views or poll.checked_at < oldest_allowed
            for index_name, poll in self._polls.items()
        ):
            await self.wait_for_change(FRESH_SECONDS)
        self._awaits_final_check = False

    def seconds_blocked(self) -> float:
        """Return the number of seconds during which no request can succeed."""
        return max((poll.seconds_blocked() for poll in self._polls.values()), default=0.0)

    @property
    def view(self) -> View | None:
        """The combined result of the latest checks. ``None`` until each index has been checked.

        :raises BaseException: A check failed in a way that ends the wait.
        """
        if len(self._views) < len(self._waits):
            return None
        views = list(self._views.values())
        for view in views:
            view.raise_error()
        return View(
            visible=all(view.visible for view in views),
            failure=next((view.failure for view in views if view.failure), ""),
            text=" ".join(view.text for view in views),
            missing=tuple(mutation_id for view in views for mutation_id in view.missing),
            answered=all(view.answered for view in views),
        )
