"""Tests of the retry policy: errors that a retry cannot fix fail at once, and rate limits are waited for."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Any

import pytest

from airflow_provider_vectorize import retries
from airflow_provider_vectorize.errors import (
    AuthError,
    BadRowError,
    ConfigError,
    IndexNotFoundError,
    NoAnswerError,
    RateLimitedError,
    ServerError,
    SourceError,
    VectorizeError,
)
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow


@pytest.fixture
def policy() -> Any:
    """Return the policy. Skip the test if Airflow has none."""
    try:
        return retries.retry_policy()
    except ConfigError:
        pytest.skip("this Airflow has no retry policies")


@pytest.mark.parametrize(
    "error",
    [
        AuthError("no"),
        ConfigError("no"),
        IndexNotFoundError("no"),
        BadRowError("no"),
        SourceError("All rows are bad.", permanent=True),
    ],
)
def test_decide_permanent_error_fails(error: VectorizeError) -> None:
    assert retries.decide(error).action == "fail"
    assert type(error).__name__ in retries.decide(error).reason


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 305), (0.0, 5), (42.0, 47), (9_999.0, 305)])
def test_decide_rate_limit_waits_for_the_end_of_the_block(retry_after: float | None, seconds: float) -> None:
    decision = retries.decide(RateLimitedError("slow down", retry_after=retry_after))

    assert (decision.action, decision.delay) == ("wait", timedelta(seconds=seconds))
    assert decision.reason.endswith(f"in {seconds} s.")


@pytest.mark.parametrize("error", [ServerError("500"), NoAnswerError("cut"), SourceError("gone"), ValueError("other")])
def test_decide_other_error_leaves_the_decision_to_the_task(error: Exception) -> None:
    assert retries.decide(error) == retries.Decision("default")


def test_decide_reads_the_cause_of_an_error_of_the_user() -> None:
    error = ValueError("Could not embed the page.")
    error.__cause__ = RuntimeError("wrapped")
    error.__cause__.__cause__ = AuthError("no")

    assert retries.decide(error).action == "fail"


def test_retry_policy_before_airflow_3_3_names_the_requirement(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "airflow.providers.common.compat.sdk", object())

    with pytest.raises(ConfigError, match=r"requires Airflow 3\.3"):
        retries.retry_policy()


def test_retry_policy_decides_as_airflow_asks(policy: Any) -> None:
    from airflow.sdk.definitions.retry_policy import RetryAction, RetryPolicy

    def evaluate(error: Exception) -> Any:
        return policy.evaluate(exception=error, try_number=1, max_tries=3, context=None)

    assert isinstance(policy, RetryPolicy)
    assert evaluate(AuthError("no")).action is RetryAction.FAIL
    assert evaluate(ServerError("500")).action is RetryAction.DEFAULT
    limited = evaluate(RateLimitedError("slow down", retry_after=30.0))
    assert limited.action is getattr(RetryAction, "RESCHEDULE", RetryAction.RETRY)
    assert limited.retry_delay == timedelta(seconds=35)
    assert "Vectorize limits requests" in limited.reason


def test_retry_policy_reschedules_where_airflow_can(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.compat import sdk

    class Action(Enum):
        RETRY, FAIL, DEFAULT, RESCHEDULE = range(4)

    monkeypatch.setattr(sdk, "RetryAction", Action, raising=False)

    decision = retries.retry_policy().evaluate(RateLimitedError("slow down"), 1, 3)

    assert decision.action is Action.RESCHEDULE


def test_task_with_retry_policy_missing_index_fails_at_its_first_try(
    policy: Any, airflow: Airflow, books: LocalVectorize
) -> None:
    run = airflow.run("hook_with_retry_policy", {"index": "nothing"})

    assert run.states() == {"count": "failed"}
    assert run.tries("count") == 1
    assert "A retry cannot fix IndexNotFoundError." in airflow.log.text


def test_task_with_retry_policy_rate_limit_is_retried_after_the_block(
    policy: Any, airflow: Airflow, books: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MARGIN_SECONDS", 0.0)
    books.fail("rate_limit", retry_after=1)

    run = airflow.run("hook_with_retry_policy", {"index": "books"})

    assert run.states() == {"count": "success"}
    assert run.tries("count") == 2
    limited, answered = books.requests("info")
    assert answered.started - limited.started >= 1


def test_task_with_retry_policy_other_error_is_retried_by_the_task(
    policy: Any, airflow: Airflow, books: LocalVectorize
) -> None:
    books.fail("http_500", times=2)

    run = airflow.run("hook_with_retry_policy", {"index": "books"})

    assert run.states() == {"count": "success"}
    assert run.tries("count") == 3
