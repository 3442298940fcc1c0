"""Shared polls: each index is checked once per interval, however many triggers of this triggerer wait for it.

A poll is a task of the event loop. It starts with the first trigger that waits for an index over a connection. It
checks the index in a thread, passes each waiting trigger the verdict on its own mutations, and ends when no trigger
waits any longer. It keeps no state that a restarted triggerer needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.triggers.view import View

if TYPE_CHECKING:
    from airflow_provider_vectorize.visibility.monitor import IndexMonitor, WaitRequest

#: Maximum age in seconds at which a check need not be repeated. A shorter interval of a trigger takes precedence.
FRESH_SECONDS = 5.0
#: Number of triggers that are woken at once, and seconds until the next ones. Waking a thousand at once would block
#: the event loop.
WAKE_BATCH_SIZE, WAKE_PAUSE_SECONDS = 20, 0.005


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
                self._polls[index_name] = _get_or_start_poll(self._conn_id, index_name)
                self._polls[index_name].add(self, waits)

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


class Poll:
    """Checks one index over one connection for all triggers that wait for it in one event loop.

    :param polls: Running polls of the event loop by connection and index. The poll removes itself when it ends.
    :param conn_id: Connection to Vectorize.
    :param index_name: Name of the index.
    """

    def __init__(self, polls: dict[tuple[str, str], Poll], conn_id: str, index_name: str) -> None:
        self.waiters: dict[Waiter, Sequence[Mapping[str, Any]]] = {}
        self._conn_id = conn_id
        self._index_name = index_name
        self._polls = polls
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._monitor: IndexMonitor | None = None
        self._requests: dict[Waiter, WaitRequest] = {}
        self.checked_at = self._blocked_until = float("-inf")
        self._interval = FRESH_SECONDS
        # A new context, because that of the first trigger would send the log of the poll to the log of that trigger.
        self._task = self._loop.create_task(self._run(), name=f"poll of index {index_name}", context=Context())
        self._task.add_done_callback(self._end)

    def add(self, waiter: Waiter, waits: Sequence[Mapping[str, Any]]) -> None:
        """Add a waiting trigger, starting with the next check."""
        self._interval = min(self._interval, waiter.interval) if self.waiters else waiter.interval
        self.waiters[waiter] = waits
        self._wake.set()

    def seconds_blocked(self) -> float:
        """Return the number of seconds during which no request can succeed."""
        return max(0.0, self._blocked_until - self._loop.time())

    def check_soon(self) -> None:
        """Check again as soon as the latest check is no longer fresh."""
        self._interval = min(self._interval, FRESH_SECONDS)
        self._wake.set()

    async def _run(self) -> None:
        while await self._wait_until_due():
            await self._distribute(await self._check_index())

    def _end(self, _: asyncio.Task[None]) -> None:
        """Release everything that the poll holds. If it was cancelled, the remaining waiters start another one."""
        self._close_monitor()
        self._polls.pop((self._conn_id, self._index_name), None)
        for waiter in list(self.waiters):
            waiter.poll_ended(self._index_name)

    async def _wait_until_due(self) -> bool:
        """Wait until the next check is due. Return whether a trigger still waits for it."""
        while True:
            due = max(self.checked_at + self._interval, self._blocked_until)
            if not self.waiters:
                # The poll continues for a moment, so that a trigger that joins soon can use its latest check.
                due = self.checked_at + min(self._interval, FRESH_SECONDS)
            if due <= self._loop.time():
                return bool(self.waiters)
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()

    async def _check_index(self) -> Mapping[Waiter, View]:
        waiting = dict(self.waiters)
        try:
            if self._monitor is None:
                self._monitor = await asyncio.to_thread(_create_monitor, await self._connection(), self._index_name)
            views, pause = await asyncio.to_thread(self._check, self._monitor, waiting)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - every waiter raises it again
            self._close_monitor()  # the next check reads the connection again, in case it was corrected
            views, pause = dict.fromkeys(waiting, View(error=error, traceback=error.__traceback__)), 0.0
        self.checked_at = self._loop.time()
        self._blocked_until = self.checked_at + pause
        self._interval = min((waiter.interval for waiter in self.waiters), default=self._interval)
        return views

    def _check(
        self, monitor: IndexMonitor, waiting: Mapping[Waiter, Sequence[Mapping[str, Any]]]
    ) -> tuple[dict[Waiter, View], float]:
        """Check the index once. Runs in a thread."""
        views: dict[Waiter, View] = {}
        requests: dict[Waiter, WaitRequest] = {}
        for waiter, waits in waiting.items():
            try:
                requests[waiter] = self._requests.get(waiter) or _wait_request(waiter, waits)
            except ConfigError as error:  # arguments that this version cannot read must not end the other waits
                views[waiter] = View(error=error)
        self._requests = dict(requests)
        if not requests:
            return views, 0.0
        verdicts, pause = monitor.check(requests)
        return views | {waiter: View.from_verdict(verdict) for waiter, verdict in verdicts.items()}, pause

    async def _connection(self) -> Any:
        try:
            return await get_async_connection(self._conn_id)
        except AirflowNotFoundException:
            raise ConfigError(
                f'The triggerer cannot find the connection "{self._conn_id}". It needs access to the connections of '
                "the workers."
            ) from None

    async def _distribute(self, views: Mapping[Waiter, View]) -> None:
        woken = 0
        for waiter, view in views.items():
            if waiter in self.waiters and waiter.receive(self._index_name, view):
                woken += 1
                if woken % WAKE_BATCH_SIZE == 0:
                    await asyncio.sleep(WAKE_PAUSE_SECONDS)

    def _close_monitor(self) -> None:
        monitor, self._monitor = self._monitor, None
        if monitor:
            monitor.close()


_polls_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], Poll]] = WeakKeyDictionary()


def _get_or_start_poll(conn_id: str, index_name: str) -> Poll:
    polls = _polls_by_loop.setdefault(asyncio.get_running_loop(), {})
    if (conn_id, index_name) not in polls:
        polls[conn_id, index_name] = Poll(polls, conn_id, index_name)
    return polls[conn_id, index_name]


def _create_monitor(connection: Any, index_name: str) -> IndexMonitor:
    """Return a monitor of the index. Runs in a thread.

    The imports take about 0.2 seconds the first time. Airflow masks the connection's extra fields when they are read,
    and calls the supervisor for that.
    """
    from airflow_provider_vectorize.hooks.connection import build_monitor  # noqa: PLC0415

    return build_monitor(connection, index_name)


def _wait_request(waiter: Waiter, waits: Sequence[Mapping[str, Any]]) -> WaitRequest:
    from airflow_provider_vectorize.visibility.monitor import parse_wait_request  # noqa: PLC0415

    return parse_wait_request(waits, waiter.marker, waiter.proof)
