"""Durable execution: checkpoints in Airflow's task state store, where there is one (3.3 and newer)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

KEY = "vectorize_load"


class TaskStateCheckpoints:
    """A :class:`~airflow_provider_vectorize.load.checkpoint.CheckpointStore` on ``context["task_state_store"]``.

    It belongs to one task instance and survives its retries, a killed process and a lost worker.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    def load(self) -> Any:
        """The last checkpoint, or ``None``."""
        return self._store.get(KEY)

    def save(self, value: dict[str, Any]) -> None:
        """Keep a checkpoint."""
        self._store.set(KEY, value)

    def clear(self) -> None:
        """Forget it."""
        self._store.delete(KEY)


def checkpoints(context: Mapping[str, Any]) -> TaskStateCheckpoints | None:
    """The task's checkpoints, or ``None`` on an Airflow without a task state store."""
    store = context.get("task_state_store")
    if store is None:
        log.info("This Airflow has no task state store (3.3 brings it): a retry will start over, which is safe.")
        return None
    return TaskStateCheckpoints(store)


def attempt_identity(context: Mapping[str, Any]) -> dict[str, str]:
    """What tells a retry, which goes on, from a cleared task, which starts over.

    The store survives a clear. But each clear raises ``max_tries``, and a retry does not.
    """
    return {"max_tries, which a clear raises": str(getattr(context["ti"], "max_tries", ""))}
