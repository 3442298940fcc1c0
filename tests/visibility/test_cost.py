"""What waiting costs in requests and checks, and that each line of the rule that saves some is needed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from .cost import CASES, run_busy, run_case
from .switches import without

#: Lines that cost or save requests, with a case that shows it.
SHOWN_BY = {
    "own_id": "single writer",
    "siblings": "single writer",
    "join": "pages of the hook",
    "seen_once": "seen before",
    "markers_kept": "old marker",
    "every_20_s": "hidden by another writer",
    "while_still": "stall",
    "after_120_s": "late clock",
    "foreign_hint": "hidden by another writer",
    "three_checks": "short overlap",
    "by_the_clock": "resonance",
    "set_hint": "mapped loads",
}


@pytest.mark.parametrize("name", CASES)
def test_cost_of_case_is_as_allowed(name: str) -> None:
    cost, exceeded = run_case(name)
    assert not exceeded, cost


@pytest.mark.parametrize("line", SHOWN_BY)
def test_cost_without_line_of_the_rule_is_higher(line: str) -> None:
    with without(line):
        assert run_case(SHOWN_BY[line])[1]


def test_thousand_deferred_sensors_on_a_busy_index_share_markers_and_checks() -> None:
    ((cost, markers),) = run_busy(1_000, runs=1)
    assert all(later - earlier >= 20 for earlier, later in pairwise(markers))
    assert cost.checks < 700
    assert cost.other <= 9, "created_on is read for all sensors together"
