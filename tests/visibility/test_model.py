"""The model test in a short form: random worlds without false greens, hangs and errors."""

from __future__ import annotations

from .model import run_all


def test_model_random_worlds_have_no_false_green_and_no_hang() -> None:
    figures = run_all(range(1, 31))
    assert not figures.faults, figures.faults
    assert figures.count("green") > 50
    assert figures.count("failed: rightly") > 5


def test_model_two_runs_with_the_same_seed_are_identical() -> None:
    first, second = run_all([5]), run_all([5])
    assert first == second
