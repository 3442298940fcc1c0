"""Checkpoints in Airflow's task state store (3.3 and newer), and the identity of the running task."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

KEY = "vectorize_load"


#: Name of the entry in a load's identity that changes when the task is cleared.
CLEARS = "number of clears"


class TaskStateCheckpoints:
    """Stores checkpoints in ``context["task_state_store"]``.

    Implements :class:`~airflow_provider_vectorize.load.checkpoint.CheckpointStore`. The store belongs to one task
    instance and survives its retries, a killed process and a lost worker.

    :param store: The store of the task.
    :param clears: How often the task was cleared, as in the identity of its load.
    """

    def __init__(self, store: Any, clears: str) -> None:
        self._store = store
        self._clears = clears

    def load(self) -> Any:
        """Return the last checkpoint, or ``None``.

        A checkpoint from before a clear makes the load start over, because it names another number of clears. If the
        user kept it on purpose, and the load had not finished, it gets the current number, so that the load resumes.
        """
        stored = self._store.get(KEY)
        if discards_state_on_clear(self._store) and _is_unfinished(stored):
            identity = stored["identity"]
            if identity.get(CLEARS) != self._clears:
                log.info("Airflow kept the checkpoint when the task was cleared, so the load resumes from it.")
                return {**stored, "identity": {**identity, CLEARS: self._clears}}
        return stored

    def save(self, value: dict[str, Any]) -> None:
        """Replace the last checkpoint."""
        self._store.set(KEY, value)

    def clear(self) -> None:
        """Delete the checkpoint."""
        self._store.delete(KEY)


def discards_state_on_clear(store: Any) -> bool:
    """Check whether Airflow discards the state of a cleared task unless the user keeps it, as 3.4 does.

    Airflow does not tell a task how it was cleared. The asynchronous methods of the store came with the same version.
    """
    return hasattr(store, "aget")


def _is_unfinished(stored: Any) -> bool:
    """Check whether a stored checkpoint is that of a load that had not sent everything.

    The receipt is sealed when the last batch is acknowledged, which is sent after all others.
    """
    if not isinstance(stored, Mapping) or not isinstance(stored.get("identity"), Mapping):
        return False
    receipt = stored.get("receipt")
    return isinstance(receipt, Mapping) and not receipt.get("sealed")


def checkpoint_store(context: Mapping[str, Any]) -> TaskStateCheckpoints | None:
    """Return the checkpoint store of the task, or ``None`` if Airflow has no task state store."""
    store = context.get("task_state_store")
    if store is None:
        log.info(
            "Skipped checkpoints, because this Airflow has no task state store (3.3 and newer). "
            "A retry starts over, which is safe."
        )
        return None
    return TaskStateCheckpoints(store, attempt_identity(context)[CLEARS])


def attempt_identity(context: Mapping[str, Any]) -> dict[str, str]:
    """Return what distinguishes a retry, which resumes, from a cleared task, which starts over.

    The store of Airflow 3.3 survives a clear, and that of 3.4 survives one that keeps the state or clears the whole
    run. Each clear increases ``clear_number`` of the run and sets ``max_tries`` of the task, which may keep its value
    if ``retries`` was lowered. A retry changes neither.
    """
    clears = (getattr(context["ti"], "max_tries", ""), getattr(context.get("dag_run"), "clear_number", ""))
    return {CLEARS: ", ".join(map(str, clears))}


#: Key of the entry in a load's identity that names the run of the task.
RUN = "run"


def run_identity(context: Mapping[str, Any]) -> dict[str, str]:
    """Return what distinguishes this task in this DAG run from all others. Retries and clears do not change it.

    :return: An empty dict if the context belongs to no task, as in unit tests.
    """
    ti = context.get("ti")
    dag_id, run_id, task_id = (getattr(ti, name, None) for name in ("dag_id", "run_id", "task_id"))
    if not (dag_id and run_id and task_id):
        return {}
    map_index = getattr(ti, "map_index", -1)
    mapped = f"[{map_index}]" if isinstance(map_index, int) and map_index >= 0 else ""
    return {RUN: f"{dag_id}/{run_id}/{task_id}{mapped}"}


def run_name(identity: Mapping[str, str] | None) -> str:
    """Return the name of the run that a load belongs to.

    :param identity: The ``identity`` of ``VectorizeHook.load``. It names the run outside of a task.
    :return: An empty string outside of a task without an identity.
    """
    identity = identity or {}
    task_run = identity.get(RUN) or run_identity(current_context()).get(RUN)
    return task_run or ", ".join(f"{key}={identity[key]}" for key in sorted(identity))


def is_retry(context: Mapping[str, Any] | None = None) -> bool:
    """Check whether this is not the first attempt of the task. An earlier one may have left late requests.

    :param context: Context of the task. ``None``: the context of the running task, if there is one.
    """
    number = getattr((current_context() if context is None else context).get("ti"), "try_number", 1)
    return isinstance(number, int) and number > 1


def current_context() -> Mapping[str, Any]:
    """Return the context of the running task, or an empty one."""
    from airflow.providers.common.compat.sdk import get_current_context  # noqa: PLC0415 - only a load needs it

    try:
        context: Mapping[str, Any] = get_current_context()
        return context
    except Exception:  # noqa: BLE001 - outside of a task, each version of Airflow raises a different error
        return {}
