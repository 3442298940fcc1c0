"""The trigger that starts DAGs when an index has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers import base

from airflow_provider_vectorize.parameters import positive_number, text
from airflow_provider_vectorize.triggers import changes
from airflow_provider_vectorize.triggers.cursor import Cursor
from airflow_provider_vectorize.triggers.view import View
from airflow_provider_vectorize.triggers.watch import Watch

#: Airflow 2 can import this module, but has no watchers.
BaseEventTrigger: Any = getattr(base, "BaseEventTrigger", base.BaseTrigger)
#: Seconds after which a problem that continues is logged again.
LOG_INTERVAL_SECONDS = 600.0
#: Seconds from an event to the storing of its cursor. Airflow stores an event within about a second. If the triggerer
#: is killed in between, the event is sent again, while a cursor that is stored too early would lose it.
HANDOVER_SECONDS = 3.0


class VectorizeIndexChangedTrigger(BaseEventTrigger):
    """Send an event whenever an index has changed and has then been quiet for a while. For ``AssetWatcher``.

    Requires Airflow 3.0. The trigger sees every write that the index processes, also those from outside of Airflow. It
    checks the index every ``poll_interval`` seconds with one request, which all watchers and deferred sensors of a
    triggerer share. It never ends: errors, such as a wrong token, are logged in the triggerer's log, and the checks
    continue. An index that does not exist yet is waited for.

    A change is a later ``processedUpToDatetime``. Earlier ones come from replicas that lag, and are ignored. What was
    processed before the watch began starts nothing, and neither does a change of an index that is deleted before the
    event. With Airflow 3.3, the trigger keeps a cursor in the asset's state store: after a restart of the triggerer it
    continues where it was, and does not send an event twice. If the triggerer is killed in the seconds after an event,
    the event may be sent twice. On Airflow 3.0 to 3.2 there is no store, and changes during a restart of the triggerer
    start nothing.

    The event has ``index_name``, ``vectorize_conn_id``, ``mutation_id``, ``processed_at`` (ISO 8601) and
    ``vector_count`` of the index, ``previous_mutation_id``, ``previous_processed_at`` and ``previous_vector_count`` as
    of the last event, and ``quiet`` (``False`` if ``max_wait`` was reached). Read it with
    :func:`airflow_provider_vectorize.events.index_events`.

    A DAG must not watch an index that it writes to, or it starts itself. A ``VectorizeMutationSensor`` also writes
    markers, so wait in the DAG that writes. What the watcher reports is already visible.

    :param index_name: Name of the index.
    :param vectorize_conn_id: Connection to Vectorize. Default: ``vectorize_default``.
    :param quiet_for: Seconds without a further change after which the event is sent. A load changes an index hundreds
        of times. Default: 120.
    :param poll_interval: Maximum number of seconds between two checks. Default: 60.
    :param max_wait: Seconds from the first change after which the event is sent even if changes continue. Default:
        3,600.
    :raises ConfigError: An argument is wrong.
    """

    def __init__(
        self,
        index_name: str,
        vectorize_conn_id: str = "vectorize_default",
        quiet_for: float = 120,
        poll_interval: float = 60,
        max_wait: float = 3_600,
    ) -> None:
        super().__init__()
        self.index_name = text("index_name", index_name)
        self.vectorize_conn_id = text("vectorize_conn_id", vectorize_conn_id)
        self.quiet_for = positive_number("quiet_for", quiet_for)
        self.poll_interval = positive_number("poll_interval", poll_interval)
        self.max_wait = positive_number("max_wait", max_wait)
        self._problem, self._problem_logged_at = "", 0.0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments for the database. Watchers with equal arguments share a trigger."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "index_name": self.index_name,
                "vectorize_conn_id": self.vectorize_conn_id,
                "quiet_for": self.quiet_for,
                "poll_interval": self.poll_interval,
                "max_wait": self.max_wait,
            },
        )

    async def run(self) -> AsyncIterator[base.TriggerEvent]:
        """Yield an event for each change. It never returns, because Airflow would start the trigger again at once."""
        loop = asyncio.get_running_loop()
        key = f"vectorize_index_changed/{self.vectorize_conn_id}/{self.index_name}"
        cursor = Cursor(getattr(self, "asset_state_store", None), key)
        stored = await cursor.load()
        state = changes.Changes.from_cursor(stored) if stored else None
        async with Watch(self.vectorize_conn_id, self.index_name, self.poll_interval) as watch:
            while True:
                view, now = await watch.next_view(), loop.time()
                self._log_problem(view, now)
                if view.index is None:
                    continue
                if state is None:
                    state = changes.begin(view.index)
                    self.log.info('Watching index "%s" for changes after %s.', self.index_name, state.after)
                    await cursor.save(state.to_cursor())
                state = changes.observe(state, view.index, now)
                reason = changes.due(state, now, self.quiet_for, self.max_wait)
                if reason:
                    event, state = self._payload(state, quiet=reason == "quiet"), changes.fire(state)
                    if not await self._was_sent(cursor, state):
                        self.log.info("Index changed: %s", event)
                        yield base.TriggerEvent(event)
                        await asyncio.sleep(HANDOVER_SECONDS)
                        await cursor.save(state.to_cursor())

    async def _was_sent(self, cursor: Cursor, state: changes.Changes) -> bool:
        """Check whether the same trigger in another triggerer has sent the event, as it may when one seems dead."""
        stored = await cursor.load()
        other = changes.Changes.from_cursor(stored) if stored else None
        return other is not None and other.after >= state.after

    def _payload(self, state: changes.Changes, *, quiet: bool) -> dict[str, Any]:
        previous = {f"previous_{name}": value for name, value in state.fired.to_dict().items()}
        names = {"index_name": self.index_name, "vectorize_conn_id": self.vectorize_conn_id}
        return {**names, **state.newest.to_dict(), **previous, "quiet": quiet}

    def _log_problem(self, view: View, now: float) -> None:
        """Log why the index cannot be watched, and when it can be watched again."""
        kind, problem = _problem(view)
        if kind and (kind != self._problem or now - self._problem_logged_at >= LOG_INTERVAL_SECONDS):
            self.log.warning('Index "%s" cannot be watched at the moment. %s', self.index_name, problem)
            self._problem_logged_at = now
        elif self._problem and not kind:
            self.log.info('Index "%s" is watched again.', self.index_name)
        self._problem = kind


def _problem(view: View) -> tuple[str, str]:
    """Return the kind of problem that a check found, which does not change from check to check, and its description."""
    if view.error:
        return type(view.error).__name__, str(view.error)
    if view.index is None:
        return "no answer", view.text
    return ("", "") if view.index.exists else ("missing", "It does not exist, or does not exist yet.")
