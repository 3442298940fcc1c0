"""Helpers of the sensor tests: sensors that check often, and Airflow's way of running them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

AfterCheck = Callable[[int, Callable[[], Any]], None]
BOTH_VARIANTS = pytest.mark.parametrize("variant", ["poke", "deferrable"])
#: A well-formed mutation id that no index has.
MUTATION_ID = "01234567-89ab-4def-8123-456789abcdef"


def load_unprocessed(books: LocalVectorize, source: str) -> dict[str, Any]:
    """Load a source while Vectorize processes nothing. Return the receipt."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    books.hold()
    return VectorizeHook().load("books", source)


def make_sensor(mutation: Any, variant: str = "poke", **options: Any) -> Any:
    """Return a sensor that checks every 0.01 seconds."""
    from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor

    options = {"task_id": "wait", "poke_interval": 0.01, "timeout": 60, **options}
    return VectorizeMutationSensor(mutation=mutation, deferrable=variant == "deferrable", **options)


def run_sensor(task: Any) -> None:
    """Execute a sensor as Airflow does: if it defers, run the trigger and resume a fresh instance."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    try:
        task.execute({})
    except TaskDeferred as deferred:
        event = asyncio.run(_event(deferred.trigger))
        fresh = make_sensor(task.mutation, "deferrable", timeout=task.timeout)
        fresh.soft_fail, fresh.never_fail = task.soft_fail, task.never_fail
        fresh.resume_execution(deferred.method_name, {"event": event}, {})


async def _event(trigger: Any) -> Any:
    return (await anext(aiter(trigger.run()))).payload
