"""Decisions about time: how long to wait before a retry, and how fast a budget may be spent. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_vectorize.api.limits import WINDOW_SECONDS
from airflow_provider_vectorize.errors import ApiError, RateLimitedError, TransientApiError

#: Cloudflare's block lasts this long at the most (docs, "Rate limits"); a larger Retry-After is not believed.
LONGEST_BLOCK = 300.0
#: A client that Vectorize has never answered retries for this long where the address may be wrong, in seconds.
FIRST_CONTACT_SECONDS = 60.0
#: Quota of an account (docs, "Rate limits"), where the answer does not say it.
QUOTA = 1_200


@dataclass(frozen=True)
class RetryPolicy:
    """How long a request is tried again.

    :param total: seconds from the first attempt within which another one may begin. Has to be longer than
        a block of five minutes, or a block fails the task.
    :param first: seconds before the second attempt; each further wait is twice as long, less a jitter.
    :param longest: seconds that such a wait is at the most.
    """

    total: float = 1_800.0
    first: float = 1.0
    longest: float = 60.0

    def wait(self, error: ApiError, attempt: int, elapsed: float, jitter: float) -> float | None:
        """Seconds to wait before the next attempt, or ``None`` to give up.

        :param error: what the attempt ended with.
        :param attempt: its number, from 1.
        :param elapsed: seconds since the first attempt began.
        :param jitter: a random number, 0 to 1, so that workers do not come back all at once.
        """
        if not isinstance(error, TransientApiError):
            return None
        wait = min(self.longest, self.first * 2.0 ** min(attempt - 1, 30)) * (1 - jitter / 2)
        if error.retry_after is not None:
            wait = min(error.retry_after, LONGEST_BLOCK) + min(1.0, wait) * jitter
        total = min(self.total, FIRST_CONTACT_SECONDS) if error.address_may_be_wrong else self.total
        return wait if elapsed + wait <= total else None


@dataclass(frozen=True)
class Budget:
    """What an answer says of the account's budget.

    :param left: requests left in the window.
    :param reset: seconds until the window ends.
    :param quota: requests of a whole window.
    """

    left: int
    reset: float
    quota: int = QUOTA

    def pause(self, reserve: float, in_flight: int = 0) -> float:
        """Seconds between the starts of two requests, for all workers to come out with the budget together.

        Above half of the quota nobody waits. Below, what is left is spread over what is left of the window;
        as every worker's requests lower it for all, their pauses grow alike without a word between them.

        :param reserve: share of the quota that is left to others (people, the dashboard), 0 to 1.
        :param in_flight: this process's own requests under way, which the answer may not have counted.
        """
        usable = self.left - in_flight - reserve * self.quota
        if usable < 1:
            return self.reset
        return 0.0 if self.left > self.quota / 2 else self.reset / usable


# More digits than these are no number of requests or seconds, and Python reads no more than 4,300 of them.
_LEFT = re.compile(r"\br=(\d{1,9})(?!\d)")
_RESET = re.compile(r"\bt=(\d{1,9}(?:\.\d{1,9})?)(?!\d)")
_QUOTA = re.compile(r"\bq=([1-9]\d{0,8})(?!\d)")


def read_budget(headers: Mapping[str, str]) -> Budget | None:
    """Return the budget from ``Ratelimit`` and ``Ratelimit-Policy``, or ``None`` if they are missing or unreadable.

    A window that is longer than Cloudflare's is taken to be as long as Cloudflare's.
    """
    limit = headers.get("Ratelimit", "")
    left, reset = _LEFT.search(limit), _RESET.search(limit)
    if left is None or reset is None:
        return None
    quota = _QUOTA.search(headers.get("Ratelimit-Policy", ""))
    return Budget(int(left[1]), min(float(reset[1]), WINDOW_SECONDS), int(quota[1]) if quota else QUOTA)


def block_length(error: ApiError, budget: Budget | None) -> float:
    """Seconds for which an answer says that *no* request will be served; 0 if it says no such thing."""
    if not isinstance(error, RateLimitedError) or error.status != 429:
        return 0.0
    if error.retry_after is not None:
        return min(error.retry_after, LONGEST_BLOCK)
    return min(budget.reset, LONGEST_BLOCK) if budget is not None and budget.left == 0 else 0.0
