"""One poll for all: each index is checked once per interval, however many tasks of this triggerer wait for it.

A poll is a task of the event loop. It starts with the first task that waits for an index by a connection, checks the
index in a thread, passes each waiting task the verdict on its own mutations, and ends when no task waits any more. It
keeps nothing that a restarted triggerer cannot do without.
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
    from airflow_provider_vectorize.visibility.monitor import IndexMonitor, Request

#: A check that is this many seconds old, or an interval if that is shorter, need not be repeated.
FRESH = 5.0
#: How many tasks are woken at once, and the seconds until the next ones: a thousand at once would block the loop.
AT_ONCE, APART = 20, 0.005


class Waiter:
    """One task's subscription to the polls of the indexes that it waits for. Use it as an async context manager.

    :param conn_id: the connection.
    :param waits: :meth:`~airflow_provider_vectorize.visibility.waits.Wait.to_dict` of each mutation.
    :param interval: seconds between two checks; a poll uses the shortest that a waiter asks for.
    :param marker: the markers that this task allows: ``delete``, ``vector`` or ``none``.
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
        self._news = asyncio.Event()
        self._hurried = False

    async def __aenter__(self) -> Self:
        self._join()
        return self

    async def __aexit__(self, *_: object) -> None:
        for poll in self._polls.values():
            poll.waiters.pop(self, None)

    def _join(self) -> None:
        """Join a poll of each index, also after a poll was cancelled."""
        for index_name, waits in self._waits.items():
            if index_name not in self._polls and not self._is_visible(index_name):
                self._polls[index_name] = _poll_of(self._conn_id, index_name)
                self._polls[index_name].add(self, waits)

    def _is_visible(self, index_name: str) -> bool:
        return index_name in self._views and self._views[index_name].visible

    def take(self, index_name: str, view: View) -> bool:
        """Take what a check of an index has shown. Returns whether the waiting task has to wake up."""
        before = self._views.get(index_name)
        self._views[index_name] = view
        if view.visible:
            self._polls.pop(index_name).waiters.pop(self, None)
        news = self._hurried or before is None or not view.missing or view.news != before.news
        if news:
            self._news.set()
        return news

    def lost(self, index_name: str) -> None:
        """The poll of an index was cancelled."""
        del self._polls[index_name]
        self._news.set()

    async def news(self, seconds: float) -> None:
        """Return when something has changed, or after so many seconds."""
        self._join()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()

    async def last_check(self) -> None:
        """Return when every index has a fresh check, or when requests are blocked."""
        since = asyncio.get_running_loop().time() - min(self.interval, FRESH)
        self._hurried = True
        for poll in self._polls.values():
            poll.hurry()
        while not self.kept_off() and any(
            index_name not in self._views or poll.checked_at < since for index_name, poll in self._polls.items()
        ):
            await self.news(FRESH)
        self._hurried = False

    def kept_off(self) -> float:
        """Seconds for which no request makes sense."""
        return max((poll.kept_off() for poll in self._polls.values()), default=0.0)

    @property
    def view(self) -> View | None:
        """What the checks of all indexes show together; ``None`` before each index was checked.

        :raises BaseException: why a check failed for good.
        """
        if len(self._views) < len(self._waits):
            return None
        views = list(self._views.values())
        for view in views:
            view.check()
        return View(
            visible=all(view.visible for view in views),
            failure=next((view.failure for view in views if view.failure), ""),
            text=" ".join(view.text for view in views),
            missing=tuple(one for view in views for one in view.missing),
            answered=all(view.answered for view in views),
        )


class Poll:
    """Checks one index by one connection, for all tasks that wait in one event loop."""

    def __init__(self, polls: dict[tuple[str, str], Poll], conn_id: str, index_name: str) -> None:
        self.waiters: dict[Waiter, Sequence[Mapping[str, Any]]] = {}
        self._conn_id = conn_id
        self._index_name = index_name
        self._polls = polls
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._monitor: IndexMonitor | None = None
        self._requests: dict[Waiter, Request] = {}
        self.checked_at = self._free_at = float("-inf")
        self._interval = FRESH
        # Without the context of the task that happens to be the first: its log is not for the others.
        self._task = self._loop.create_task(self._run(), name=f"poll of index {index_name}", context=Context())
        self._task.add_done_callback(self._end)

    def add(self, waiter: Waiter, waits: Sequence[Mapping[str, Any]]) -> None:
        """Add a waiting task, from the next check on."""
        self._interval = min(self._interval, waiter.interval) if self.waiters else waiter.interval
        self.waiters[waiter] = waits
        self._wake.set()

    def kept_off(self) -> float:
        """Seconds for which no request makes sense."""
        return max(0.0, self._free_at - self._loop.time())

    def hurry(self) -> None:
        """Check once more as soon as the last check is no longer fresh."""
        self._interval = min(self._interval, FRESH)
        self._wake.set()

    async def _run(self) -> None:
        while await self._is_due():
            await self._tell(await self._check_index())

    def _end(self, _: asyncio.Task[None]) -> None:
        """End the poll. If it was cancelled, the tasks that still wait start another one."""
        self._close()
        self._polls.pop((self._conn_id, self._index_name), None)
        for waiter in list(self.waiters):
            waiter.lost(self._index_name)

    async def _is_due(self) -> bool:
        """Return when the next check is due. Returns whether a task still waits for it."""
        while True:
            due = max(self.checked_at + self._interval, self._free_at)
            if not self.waiters:
                due = self.checked_at + min(self._interval, FRESH)  # a task that joins soon needs no check of its own
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
                self._monitor = await asyncio.to_thread(_monitor, await self._connection(), self._index_name)
            views, pause = await asyncio.to_thread(self._check, self._monitor, waiting)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - handed to every waiter, which raises it
            self._close()  # a connection that was corrected meanwhile is read anew
            views, pause = dict.fromkeys(waiting, View(error=error, traceback=error.__traceback__)), 0.0
        self.checked_at = self._loop.time()
        self._free_at = self.checked_at + pause
        self._interval = min((waiter.interval for waiter in self.waiters), default=self._interval)
        return views

    def _check(
        self, monitor: IndexMonitor, waiting: Mapping[Waiter, Sequence[Mapping[str, Any]]]
    ) -> tuple[dict[Waiter, View], float]:
        """Check the index once, in a thread."""
        views: dict[Waiter, View] = {}
        requests: dict[Waiter, Request] = {}
        for waiter, waits in waiting.items():
            try:
                requests[waiter] = self._requests.get(waiter) or _request(waiter, waits)
            except ConfigError as error:  # a row that this version cannot read does not concern the others
                views[waiter] = View(error=error)
        self._requests = dict(requests)
        if not requests:
            return views, 0.0
        verdicts, pause = monitor.check(requests)
        return views | {waiter: View.of(verdict) for waiter, verdict in verdicts.items()}, pause

    async def _connection(self) -> Any:
        try:
            return await get_async_connection(self._conn_id)
        except AirflowNotFoundException:
            raise ConfigError(
                f'The triggerer finds no connection "{self._conn_id}": it has to see those of the workers.'
            ) from None

    async def _tell(self, views: Mapping[Waiter, View]) -> None:
        woken = 0
        for waiter, view in views.items():
            if waiter in self.waiters and waiter.take(self._index_name, view):
                woken += 1
                if woken % AT_ONCE == 0:
                    await asyncio.sleep(APART)

    def _close(self) -> None:
        monitor, self._monitor = self._monitor, None
        if monitor:
            monitor.close()


_all_polls: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], Poll]] = WeakKeyDictionary()


def _poll_of(conn_id: str, index_name: str) -> Poll:
    """Return the poll of this event loop, and start it if there is none."""
    polls = _all_polls.setdefault(asyncio.get_running_loop(), {})
    if (conn_id, index_name) not in polls:
        polls[conn_id, index_name] = Poll(polls, conn_id, index_name)
    return polls[conn_id, index_name]


def _monitor(connection: Any, index_name: str) -> IndexMonitor:
    """Return the monitor of an index. Runs in a thread: the imports take a fifth of a second the first time, and
    reading the connection's extra fields has Airflow mask them, which talks to the supervisor."""
    from airflow_provider_vectorize.hooks.connection import monitor_from  # noqa: PLC0415

    return monitor_from(connection, index_name)


def _request(waiter: Waiter, waits: Sequence[Mapping[str, Any]]) -> Request:
    from airflow_provider_vectorize.visibility.monitor import request_from  # noqa: PLC0415

    return request_from(waits, waiter.marker, waiter.proof)
