"""The request budget: headers that count down, and a block for everybody who goes over."""

from __future__ import annotations

import pytest

from airflow_provider_vectorize.local.engine.budget import Allowance, Budget
from airflow_provider_vectorize.local.engine.clock import Clock

from .conftest import Http


class StoppedClock(Clock):
    def now(self) -> float:
        return 1_000.0 + self.shift


def test_going_over_blocks_every_call_for_a_whole_window() -> None:
    clock = StoppedClock()
    budget = Budget(Allowance(3, 10), clock)
    assert [(v.allowed, v.left, v.reset) for v in (budget.spend("me") for _ in range(3))] == [
        (True, 2, 10),
        (True, 1, 10),
        (True, 0, 10),
    ]
    clock.shift = 4
    over = budget.spend("me")
    assert (over.allowed, over.reset) == (False, 10)
    clock.shift = 13.5
    still = budget.spend("me")
    assert (still.allowed, still.reset) == (False, 1)
    assert budget.spend("somebody else").allowed
    clock.shift = 14
    assert (budget.spend("me").left, budget.arrived_during_block, budget.blocks) == (2, 1, 1)


def test_a_window_ends_without_a_block() -> None:
    clock = StoppedClock()
    budget = Budget(Allowance(2, 10), clock)
    budget.spend("me")
    clock.shift = 10
    assert budget.spend("me").left == 1


@pytest.mark.parametrize("text", ["", "30", "0/10", "30/0", "x/y", "-1/10"])
def test_a_budget_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Allowance.parse(text)


def test_the_headers_count_down_to_a_block_that_ends(http: Http) -> None:
    http.local.set_budget("3/60")
    left = [http.send("GET", "").headers["Ratelimit"] for _ in range(3)]
    assert left == ['"default";r=2;t=60', '"default";r=1;t=60', '"default";r=0;t=60']
    for path in ("", "/nobody/info"):
        blocked = http.send("GET", path)
        assert (blocked.status_code, blocked.json()["errors"][0]["code"]) == (429, 971)
        assert blocked.headers["Retry-After"] == "60"
        assert blocked.headers["Ratelimit-Policy"] == '"default";q=3;w=60'
    assert [one.in_block for one in http.local.requests()] == [False] * 3 + [True] * 2
    budget = http.local.status()["budget"]
    assert budget == {"allowance": "3/60", "blocks": 1, "arrived_during_block": 1}
    http.local.shift_clock(60)
    assert http.send("GET", "").status_code == 200


def test_each_credential_has_its_own_budget(http: Http) -> None:
    http.local.set_budget("1/60")
    assert http.send("GET", "").status_code == 200
    assert http.send("GET", "").status_code == 429
    assert http.send("GET", "", headers={"Authorization": "Bearer other"}).status_code == 401
