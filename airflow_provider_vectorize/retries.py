"""A retry policy for tasks that use Vectorize, on Airflow 3.3 and newer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from airflow_provider_vectorize.api.retry import MAX_BLOCK_SECONDS
from airflow_provider_vectorize.errors import ConfigError, RateLimitedError, VectorizeError

#: Seconds that are added to the end of a rate-limit block, so that the retry does not start just before it.
MARGIN_SECONDS = 5.0


@dataclass(frozen=True)
class Decision:
    """What to do after a task failed.

    :param action: ``fail``: do not retry. ``wait``: retry after ``delay``. ``default``: retry as the task says.
    :param delay: Time until the retry, with ``wait``.
    :param reason: The reason, for the log.
    """

    action: Literal["fail", "wait", "default"]
    delay: timedelta | None = None
    reason: str = ""


def decide(error: BaseException) -> Decision:
    """Return what to do after a task failed with an error.

    An error of this provider also counts if the task raised another one from it.
    """
    ours = _find_error(error)
    if ours is None:
        return Decision("default")
    if ours.permanent:
        return Decision("fail", reason=f"A retry cannot fix {type(ours).__name__}.")
    if isinstance(ours, RateLimitedError):
        block = MAX_BLOCK_SECONDS if ours.retry_after is None else min(ours.retry_after, MAX_BLOCK_SECONDS)
        seconds = block + MARGIN_SECONDS
        return Decision(
            "wait",
            timedelta(seconds=seconds),
            f"Vectorize limits requests. The next attempt starts in {seconds:.0f} s.",
        )
    return Decision("default")


def _find_error(error: BaseException | None) -> VectorizeError | None:
    for _ in range(10):
        if error is None or isinstance(error, VectorizeError):
            return error
        error = error.__cause__
    return None


def retry_policy() -> Any:
    """Return a retry policy for ``retry_policy=`` of a task or of ``default_args``. Requires Airflow 3.3.

    An error that a retry cannot fix (``permanent`` is set: credentials, parameters, a missing index, a bad row) fails
    the task at once. A rate limit is retried when the block ends: after the seconds that Cloudflare names, at most
    300. Where Airflow has ``RetryAction.RESCHEDULE`` (3.4), such a wait does not use up one of the ``retries``. All
    other errors are retried as ``retries`` and ``retry_delay`` of the task say.

    The operators of this provider fail at once without a policy. Use it for tasks that call the hook.

    :raises ConfigError: Airflow is older than 3.3, or ``apache-airflow-providers-common-compat`` older than 1.20.
    """
    try:
        from airflow.providers.common.compat.sdk import RetryAction, RetryDecision, RetryPolicy  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "retry_policy() requires Airflow 3.3 and apache-airflow-providers-common-compat 1.20. Without it, use the "
            "task's retries and retry_delay."
        ) from error

    # The notes of Airflow 3.4 describe this action, which could not be tried yet.
    wait = getattr(RetryAction, "RESCHEDULE", RetryAction.RETRY)
    actions = {"fail": RetryAction.FAIL, "wait": wait, "default": RetryAction.DEFAULT}

    class VectorizeRetryPolicy(RetryPolicy):  # type: ignore[misc]
        """Decides by the errors of this provider, see :func:`decide`."""

        def evaluate(self, exception: BaseException, *_: Any, **__: Any) -> Any:
            decision = decide(exception)
            return RetryDecision(actions[decision.action], decision.delay, decision.reason or None)

    return VectorizeRetryPolicy()
