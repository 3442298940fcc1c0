"""Request budget: ``Ratelimit`` headers, and the rate-limit block of a credential that exceeds it."""

from __future__ import annotations

import pytest

from airflow_provider_vectorize.local.engine.budget import Allowance, Budget
from airflow_provider_vectorize.local.engine.clock import Clock

from .conftest import Http


class ManualClock(Clock):
    def now(self) -> float:
        return 1_000.0 + self.shift


def test_budget_when_exceeded_blocks_all_requests_for_one_window() -> None:
    clock = ManualClock()
    budget = Budget(Allowance(3, 10), clock)
    assert [(v.allowed, v.left, v.reset) for v in (budget.spend("token") for _ in range(3))] == [
        (True, 2, 10),
        (True, 1, 10),
        (True, 0, 10),
    ]
    clock.shift = 4
    exceeded = budget.spend("token")
    assert (exceeded.allowed, exceeded.reset) == (False, 10)
    clock.shift = 13.5
    blocked = budget.spend("token")
    assert (blocked.allowed, blocked.reset) == (False, 1)
    assert budget.spend("other token").allowed
    clock.shift = 14
    assert (budget.spend("token").left, budget.arrived_during_block, budget.blocks) == (2, 1, 1)


def test_budget_window_that_ends_unexceeded_restarts() -> None:
    clock = ManualClock()
    budget = Budget(Allowance(2, 10), clock)
    budget.spend("token")
    clock.shift = 10
    assert budget.spend("token").left == 1


@pytest.mark.parametrize("text", ["", "30", "0/10", "30/0", "x/y", "-1/10"])
def test_allowance_with_invalid_text_raises(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Allowance.parse(text)


def test_ratelimit_headers_count_down_to_a_block_that_ends(http: Http) -> None:
    http.local.set_budget("3/60")
    headers = [http.send("GET", "").headers["Ratelimit"] for _ in range(3)]
    assert headers == ['"default";r=2;t=60', '"default";r=1;t=60', '"default";r=0;t=60']
    for path in ("", "/missing/info"):
        blocked = http.send("GET", path)
        assert (blocked.status_code, blocked.json()["errors"][0]["code"]) == (429, 971)
        assert blocked.headers["Retry-After"] == "60"
        assert blocked.headers["Ratelimit-Policy"] == '"default";q=3;w=60'
    assert [request.in_block for request in http.local.requests()] == [False] * 3 + [True] * 2
    budget = http.local.status()["budget"]
    assert budget.pop("windows") == [{"left": 0, "reset": 60, "blocked": True}]
    assert budget == {"allowance": "3/60", "blocks": 1, "arrived_during_block": 1}
    http.local.shift_clock(60)
    assert http.send("GET", "").status_code == 200


def test_budget_is_counted_for_each_credential(http: Http) -> None:
    http.local.set_budget("1/60")
    assert http.send("GET", "").status_code == 200
    assert http.send("GET", "").status_code == 429
    assert http.send("GET", "", headers={"Authorization": "Bearer other"}).status_code == 401
