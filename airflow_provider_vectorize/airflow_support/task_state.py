"""Durable execution: checkpoints in Airflow's task state store, where there is one (3.3 and newer).

Also what a task knows of its earlier attempts.
"""

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

    The store survives a clear (in Airflow 3.4, a clear that keeps the state, or one of the whole run). Each clear
    raises the run's ``clear_number``, and sets the task's ``max_tries``, which comes to the same number as before if
    ``retries`` was lowered. A retry changes neither.
    """
    facts = (getattr(context["ti"], "max_tries", ""), getattr(context.get("dag_run"), "clear_number", ""))
    return {"number of clears": ", ".join(map(str, facts))}


#: The key of a load's identity that names the run of the task.
RUN = "run"


def run_identity(context: Mapping[str, Any]) -> dict[str, str]:
    """What tells this task in this DAG run from all others. It is the same for retries, and after a clear.

    :return: nothing for a context of no task, as in unit tests.
    """
    ti = context.get("ti")
    dag_id, run_id, task_id = (getattr(ti, name, None) for name in ("dag_id", "run_id", "task_id"))
    if not (dag_id and run_id and task_id):
        return {}
    map_index = getattr(ti, "map_index", -1)
    mapped = f"[{map_index}]" if isinstance(map_index, int) and map_index >= 0 else ""
    return {RUN: f"{dag_id}/{run_id}/{task_id}{mapped}"}


def run_name(identity: Mapping[str, str] | None) -> str:
    """Name the run to which a load belongs: the task's, or what the caller says that makes it this load.

    :param identity: see ``VectorizeHook.load``.
    :return: nothing where there is neither.
    """
    identity = identity or {}
    named = identity.get(RUN) or run_identity(_current_context()).get(RUN)
    return named or ", ".join(f"{key}={identity[key]}" for key in sorted(identity))


def is_retry(context: Mapping[str, Any] | None = None) -> bool:
    """Check whether the task ran before, and may have left requests that Vectorize still carries out.

    :param context: The task's. ``None``: the current one, if a task is running.
    """
    number = getattr((_current_context() if context is None else context).get("ti"), "try_number", 1)
    return isinstance(number, int) and number > 1


def _current_context() -> Mapping[str, Any]:
    """The context of the task in which this runs, or an empty one."""
    from airflow.providers.common.compat.sdk import get_current_context  # noqa: PLC0415 - only a load needs it

    try:
        context: Mapping[str, Any] = get_current_context()
        return context
    except Exception:  # noqa: BLE001 - each version of Airflow raises another error outside of a task
        return {}
