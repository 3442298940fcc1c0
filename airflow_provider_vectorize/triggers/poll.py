"""Shared polls: each index is checked once per interval, however many triggers of this triggerer are interested in it.

A poll is a task of the event loop. It starts with the first trigger that subscribes to an index over a connection. It
checks the index in a thread, passes each trigger the verdict on its own mutations and the state of the index, and ends
when no trigger is subscribed any longer. It keeps no state that a restarted triggerer needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.triggers.view import IndexState, View

if TYPE_CHECKING:
    from airflow_provider_vectorize.visibility.monitor import IndexMonitor, WaitRequest

#: Maximum age in seconds at which a check need not be repeated. A shorter interval of a trigger takes precedence.
FRESH_SECONDS = 5.0
#: Number of triggers that are woken at once, and seconds until the next ones. Waking a thousand at once would block
#: the event loop.
WAKE_BATCH_SIZE, WAKE_PAUSE_SECONDS = 20, 0.005


class Subscriber(Hashable, Protocol):
    """A trigger that receives the results of a poll. Each object is a subscriber of its own.

    ``interval`` is the maximum number of seconds between two checks. A poll uses the shortest of its subscribers.
    """

    interval: float

    def wait_request(self, waits: Sequence[Mapping[str, Any]]) -> WaitRequest:
        """Return what is asked of the monitor. It is not called if there are no waits. Runs in a thread."""

    def receive(self, index_name: str, view: View) -> bool:
        """Store the result of a check of an index. Return whether the trigger has to wake up."""

    def poll_ended(self, index_name: str) -> None:
        """Wake the trigger after the poll of an index was cancelled, so that it joins another one."""


class Poll:
    """Checks one index over one connection for all triggers of one event loop that subscribe to it.

    :param polls: Running polls of the event loop by connection and index. The poll removes itself when it ends.
    :param conn_id: Connection to Vectorize.
    :param index_name: Name of the index.
    """

    def __init__(self, polls: dict[tuple[str, str], Poll], conn_id: str, index_name: str) -> None:
        self.waiters: dict[Subscriber, Sequence[Mapping[str, Any]]] = {}
        self._conn_id = conn_id
        self._index_name = index_name
        self._polls = polls
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._monitor: IndexMonitor | None = None
        self._requests: dict[Subscriber, WaitRequest] = {}
        self.checked_at = self._blocked_until = float("-inf")
        self._interval = FRESH_SECONDS
        # A new context, because that of the first trigger would send the log of the poll to the log of that trigger.
        self._task = self._loop.create_task(self._run(), name=f"poll of index {index_name}", context=Context())
        self._task.add_done_callback(self._end)

    def add(self, waiter: Subscriber, waits: Sequence[Mapping[str, Any]] = ()) -> None:
        """Add a trigger, starting with the next check.

        :param waits: Mutations that it waits for. Without any, it only receives the state of the index.
        """
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

    async def _check_index(self) -> Mapping[Subscriber, View]:
        waiting = dict(self.waiters)
        try:
            if self._monitor is None:
                monitor = await asyncio.to_thread(_create_monitor, await self._connection(), self._index_name)
                if isinstance(monitor, ConfigError):
                    raise monitor
                self._monitor = monitor
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
        self, monitor: IndexMonitor, waiting: Mapping[Subscriber, Sequence[Mapping[str, Any]]]
    ) -> tuple[dict[Subscriber, View], float]:
        """Check the index once. Runs in a thread."""
        views: dict[Subscriber, View] = {}
        requests: dict[Subscriber, WaitRequest] = {}
        for waiter, waits in waiting.items():
            try:
                if waits:
                    requests[waiter] = self._requests.get(waiter) or waiter.wait_request(waits)
            except ConfigError as error:  # arguments that this version cannot read must not end the other waits
                views[waiter] = View(error=error)
        self._requests = dict(requests)
        if len(views) == len(waiting):
            return views, 0.0
        verdicts, pause = monitor.check(requests)
        seen = View(text=monitor.problem, answered=False) if monitor.problem else View(index=_index_state(monitor))
        for waiter in [waiter for waiter in waiting if waiter not in views]:
            verdict = verdicts.get(waiter)
            views[waiter] = replace(View.from_verdict(verdict), index=seen.index) if verdict else seen
        return views, pause

    async def _connection(self) -> Any:
        try:
            return await get_async_connection(self._conn_id)
        except AirflowNotFoundException:
            raise ConfigError(
                f'The triggerer cannot find the connection "{self._conn_id}". It needs access to the connections of '
                "the workers."
            ) from None

    async def _distribute(self, views: Mapping[Subscriber, View]) -> None:
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


def get_or_start_poll(conn_id: str, index_name: str) -> Poll:
    """Return the poll of an index over a connection in the running event loop."""
    polls = _polls_by_loop.setdefault(asyncio.get_running_loop(), {})
    if (conn_id, index_name) not in polls:
        polls[conn_id, index_name] = Poll(polls, conn_id, index_name)
    return polls[conn_id, index_name]


def _create_monitor(connection: Any, index_name: str) -> IndexMonitor | ConfigError:
    """Return a monitor of the index, or what is wrong with the connection. Runs in a thread.

    The error is not raised here, because the frames of the thread have the connection with its secrets.

    The imports take about 0.2 seconds the first time. Airflow masks the connection's extra fields when they are read,
    and calls the supervisor for that.
    """
    from airflow_provider_vectorize.hooks.connection import build_monitor, read_connection  # noqa: PLC0415

    try:
        return build_monitor(read_connection(connection), index_name)
    except ConfigError as error:
        return error.with_traceback(None)


def _index_state(monitor: IndexMonitor) -> IndexState:
    info = monitor.info
    if info is None:
        return IndexState(exists=False, checked_at=monitor.server_time)
    return IndexState(
        True,
        monitor.server_time,
        info.processed_up_to_datetime,
        info.processed_up_to_mutation,
        info.vector_count,
    )
