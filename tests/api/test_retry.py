"""Waits before retries, and the request budget in answers. These tests use no network."""

from __future__ import annotations

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api.retry import Budget, RetryPolicy, block_length, read_budget

POLICY = RetryPolicy(total=1_000, first=1, longest=60)


def test_retry_wait_doubles_up_to_longest() -> None:
    waits = [POLICY.wait(errors.ServerError("x"), attempt, 0, jitter=0) for attempt in (1, 2, 3, 6, 7, 8, 1_000)]
    assert waits == [1, 2, 4, 32, 60, 60, 60]


def test_retry_jitter_subtracts_at_most_half() -> None:
    assert POLICY.wait(errors.NoAnswerError("x"), 3, 0, jitter=1) == 2
    assert POLICY.wait(errors.NoAnswerError("x"), 3, 0, jitter=0.5) == 3


@pytest.mark.parametrize(
    "cls", [errors.AuthError, errors.IndexNotFoundError, errors.RefusedVectorError, errors.TerminalApiError]
)
def test_retry_terminal_error_is_not_retried(cls: type[errors.ApiError]) -> None:
    assert POLICY.wait(cls("x"), 1, 0, jitter=0) is None


def test_retry_after_is_the_minimum_wait() -> None:
    error = errors.RateLimitedError("x", retry_after=120.0)
    assert POLICY.wait(error, 1, 0, jitter=0) == 120
    assert 120 < POLICY.wait(error, 1, 0, jitter=1) <= 121


def test_retry_after_is_limited_to_a_block() -> None:
    assert POLICY.wait(errors.RateLimitedError("x", retry_after=86_400.0), 1, 0, jitter=0) == 300


def test_retry_stops_if_wait_would_exceed_total() -> None:
    assert POLICY.wait(errors.ServerError("x"), 10, 940, jitter=0) == 60
    assert POLICY.wait(errors.ServerError("x"), 10, 941, jitter=0) is None


def test_retry_total_zero_makes_one_attempt() -> None:
    assert RetryPolicy(total=0).wait(errors.ServerError("x"), 1, 0, jitter=0.5) is None


def test_read_budget_parses_headers() -> None:
    headers = {"Ratelimit": '"default";r=1142;t=245', "Ratelimit-Policy": '"default";q=600;w=300'}
    assert read_budget(headers) == Budget(1_142, 245.0, 600)
    assert read_budget({"Ratelimit": '"default";r=3;t=1.5'}) == Budget(3, 1.5, 1_200)


def test_read_budget_limits_window_to_cloudflares() -> None:
    assert read_budget({"Ratelimit": '"default";r=0;t=999999999'}) == Budget(0, 300.0, 1_200)
    assert read_budget({"Ratelimit": '"default";r=7;t=86400.5'}) == Budget(7, 300.0, 1_200)


@pytest.mark.parametrize("digits", ["9" * 10, "9" * 400, "9" * 5_000])
def test_read_budget_ignores_too_long_numbers(digits: str) -> None:
    assert read_budget({"Ratelimit": f'"default";r={digits};t=1'}) is None
    assert read_budget({"Ratelimit": f'"default";r=1;t={digits}'}) is None
    policy = {"Ratelimit": '"default";r=1;t=1', "Ratelimit-Policy": f'"default";q={digits};w=300'}
    assert read_budget(policy) == Budget(1, 1.0, 1_200)


def test_read_budget_ignores_quota_of_zero() -> None:
    assert read_budget({"Ratelimit": '"default";r=1;t=1', "Ratelimit-Policy": '"default";q=0;w=300'}) == Budget(1, 1.0)


def test_retry_with_doubtful_address_stops_after_a_minute() -> None:
    error = errors.NoAnswerError("x", address_may_be_wrong=True)
    assert POLICY.wait(error, 6, 28, jitter=0) == 32
    assert POLICY.wait(error, 6, 29, jitter=0) is None
    assert RetryPolicy(total=10).wait(error, 4, 3, jitter=0) is None


@pytest.mark.parametrize("text", ["", "soon", '"default";r=;t=4', '"default";r=4', '"default";t=4'])
def test_read_budget_malformed_header_returns_none(text: str) -> None:
    assert read_budget({"Ratelimit": text}) is None


def test_budget_above_half_has_no_pause() -> None:
    assert Budget(601, 100).pause(0.2) == 0


def test_budget_below_half_is_spread_over_the_window() -> None:
    assert Budget(500, 100).pause(reserve=0) == pytest.approx(100 / 500)
    assert Budget(500, 100).pause(reserve=0.2) == pytest.approx(100 / (500 - 240))
    assert Budget(500, 100).pause(reserve=0, in_flight=100) == pytest.approx(100 / 400)


def test_budget_at_reserve_pauses_until_reset() -> None:
    assert Budget(240, 100).pause(reserve=0.2) == 100


def test_block_length_is_positive_only_for_429() -> None:
    assert block_length(errors.RateLimitedError("x", status=429, retry_after=30.0), None) == 30
    assert block_length(errors.RateLimitedError("x", status=429, retry_after=9_000.0), None) == 300
    assert block_length(errors.RateLimitedError("x", status=429), Budget(0, 17)) == 17
    assert block_length(errors.RateLimitedError("x", status=429), Budget(5, 17)) == 0
    assert block_length(errors.RateLimitedError("x", status=400, code=40041, retry_after=5.0), Budget(0, 17)) == 0
    assert block_length(errors.ServerError("x", status=503, retry_after=5.0), None) == 0
