"""Calculate the wait before a retry and the pause between requests. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_vectorize.api.limits import WINDOW_SECONDS
from airflow_provider_vectorize.errors import ApiError, RateLimitedError, TransientApiError

#: Maximum length of a rate-limit block in seconds (docs, "Rate limits"). A larger ``Retry-After`` is reduced to this.
MAX_BLOCK_SECONDS = 300.0
#: Seconds for which a client retries if its address may be wrong because Vectorize has never answered it.
FIRST_CONTACT_SECONDS = 60.0
#: Number of requests in a window of an account if the answer does not report it (docs, "Rate limits").
QUOTA = 1_200


@dataclass(frozen=True)
class RetryPolicy:
    """How long a failed request is retried.

    :param total: Seconds after the first attempt within which another attempt may start. Default: 1,800. If this is
        shorter than a rate-limit block of 300 seconds, a block fails the task.
    :param first: Seconds before the second attempt. Default: 1. Each further wait is twice as long. A random part of
        up to one half is subtracted from each wait.
    :param longest: Maximum wait in seconds. Default: 60. A ``Retry-After`` header takes precedence.
    """

    total: float = 1_800.0
    first: float = 1.0
    longest: float = 60.0

    def wait(self, error: ApiError, attempt: int, elapsed: float, jitter: float) -> float | None:
        """Return the seconds to wait before the next attempt, or ``None`` if there must be no further attempt.

        :param error: Error of the last attempt.
        :param attempt: Number of the last attempt, starting at 1.
        :param elapsed: Seconds since the start of the first attempt.
        :param jitter: Random number from 0 to 1, so that workers do not retry at the same time.
        """
        if not isinstance(error, TransientApiError):
            return None
        wait = min(self.longest, self.first * 2.0 ** min(attempt - 1, 30)) * (1 - jitter / 2)
        if error.retry_after is not None:
            wait = min(error.retry_after, MAX_BLOCK_SECONDS) + min(1.0, wait) * jitter
        total = min(self.total, FIRST_CONTACT_SECONDS) if error.address_may_be_wrong else self.total
        return wait if elapsed + wait <= total else None


@dataclass(frozen=True)
class Budget:
    """Request budget of the account, as reported by an answer.

    :param left: Number of requests left in the window.
    :param reset: Seconds until the window ends.
    :param quota: Number of requests in a whole window.
    """

    left: int
    reset: float
    quota: int = QUOTA

    def pause(self, reserve: float, in_flight: int = 0) -> float:
        """Return the seconds between the starts of two requests so that the budget lasts until the window ends.

        While more than half of the quota is left, the pause is 0. After that, the remaining requests are spread over
        the rest of the window. All workers see the same budget, so their pauses grow alike without coordination.

        :param reserve: Share of the quota that is left to others (people, the dashboard), 0 to 1.
        :param in_flight: Number of requests of this process that are in flight and may not be counted in ``left``.
        """
        usable = self.left - in_flight - reserve * self.quota
        if usable < 1:
            return self.reset
        return 0.0 if self.left > self.quota / 2 else self.reset / usable


# Longer numbers are invalid. Python refuses to convert more than 4,300 digits.
_LEFT = re.compile(r"\br=(\d{1,9})(?!\d)")
_RESET = re.compile(r"\bt=(\d{1,9}(?:\.\d{1,9})?)(?!\d)")
_QUOTA = re.compile(r"\bq=([1-9]\d{0,8})(?!\d)")


def read_budget(headers: Mapping[str, str]) -> Budget | None:
    """Return the budget in ``Ratelimit`` and ``Ratelimit-Policy``, or ``None`` if it is missing or malformed.

    A window that is longer than Cloudflare's documented window is reduced to that length.
    """
    limit = headers.get("Ratelimit", "")
    left, reset = _LEFT.search(limit), _RESET.search(limit)
    if left is None or reset is None:
        return None
    quota = _QUOTA.search(headers.get("Ratelimit-Policy", ""))
    return Budget(int(left[1]), min(float(reset[1]), WINDOW_SECONDS), int(quota[1]) if quota else QUOTA)


def block_length(error: ApiError, budget: Budget | None) -> float:
    """Return for how many seconds Cloudflare blocks all requests of the account, or 0 if it does not."""
    if not isinstance(error, RateLimitedError) or error.status != 429:
        return 0.0
    if error.retry_after is not None:
        return min(error.retry_after, MAX_BLOCK_SECONDS)
    return min(budget.reset, MAX_BLOCK_SECONDS) if budget is not None and budget.left == 0 else 0.0
