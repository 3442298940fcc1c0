"""Fixtures for tests of operators, which call ``execute`` with a minimal context against a local Vectorize."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ConfigError, VectorizeError
from airflow_provider_vectorize.hooks import connection
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.hooks.conftest import connect  # noqa: F401 - a fixture

Run = Callable[..., Any]


@pytest.fixture
def run(connect: Callable[..., str]) -> Run:  # noqa: F811
    """Return a function that creates an operator, renders its templates, executes it and returns its result."""
    connect()

    def run(operator: type[Any], context: dict[str, Any] | None = None, **parameters: Any) -> Any:
        task = operator(task_id="task", **parameters)
        context = context or {}
        task.render_template_fields(context)
        return task.execute(context)

    return run


@pytest.fixture
def hook(connect: Callable[..., str]) -> Iterator[VectorizeHook]:  # noqa: F811
    hook = VectorizeHook(connect())
    yield hook
    hook.client.close()


@pytest.fixture
def immediate_retries(connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Retry failed requests without waiting between the attempts."""
    connect(extra={"retry_seconds": 60})
    monkeypatch.setattr(connection, "RetryPolicy", partial(RetryPolicy, first=0.001))


@pytest.fixture
def books(hook: VectorizeHook, local_vectorize: LocalVectorize) -> VectorizeHook:
    """Return a hook with an index "books" of 32 dimensions and the metric cosine."""
    hook.create_index("books", dimensions=32, metric="cosine")
    local_vectorize.clear_requests()
    return hook


class Caught:
    """Holds the error that :func:`fails` caught."""

    value: Any


@contextmanager
def fails(kind: type[VectorizeError], match: str = "") -> Iterator[Caught]:
    """Expect a task to fail with an error of this class, without retries if the error is permanent."""
    caught = Caught()
    with pytest.raises((AirflowFailException, VectorizeError)) as found:
        yield caught
    error = found.value
    caught.value = error.__cause__ if isinstance(error, AirflowFailException) else error
    assert isinstance(caught.value, kind), repr(caught.value)
    if not isinstance(error, ConfigError):  # the constructor raises it as well, when the DAG is parsed
        assert isinstance(error, AirflowFailException) == caught.value.permanent, (
            "the task retries exactly the errors that are not permanent"
        )
    assert str(error) == str(caught.value)
    assert re.search(match, str(error)), str(error)
