"""Tests of the metrics that a load reports to Airflow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_vectorize.airflow_support import metrics
from airflow_provider_vectorize.checks.result import CheckResult, GateResult
from airflow_provider_vectorize.load.progress import Progress
from airflow_provider_vectorize.load.receipt import Receipt


class RecordedStats:
    """Stands in for Airflow's Stats, and records what is reported."""

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}
        self.gauges: dict[str, float] = {}
        self.tags: list[Any] = []

    def incr(self, name: str, count: int, *, tags: Any) -> None:
        self.counters[name] = self.counters.get(name, 0) + count
        self.tags.append(tags)

    def gauge(self, name: str, value: float, *, tags: Any) -> None:
        self.gauges[name] = value


def test_load_metrics_after_a_resume_count_only_this_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = RecordedStats()
    monkeypatch.setattr(metrics, "Stats", stats)
    before = Receipt("upsert", "books", vectors=30, bytes_sent=300)
    first = Progress(replace(before, vectors=50, bytes_sent=500), before, 0.5, 0.3, 1.0, 3, 0, 2, 0.0)
    last = replace(first, receipt=replace(before, vectors=100, bytes_sent=1_000, rejected=2), share=1.0, requests=9)
    load_metrics = metrics.LoadMetrics("books")
    for progress in (first, first, replace(last, retries=1, waited=4.5)):
        load_metrics(progress)
    assert stats.counters == {
        "vectorize.load.vectors": 70,
        "vectorize.load.bytes_sent": 700,
        "vectorize.load.rejected": 2,
        "vectorize.load.requests": 9,
        "vectorize.load.retries": 1,
    }
    assert stats.gauges == {"vectorize.load.waited": 4.5, "vectorize.load.share": 1.0}
    assert all(tags == {"index": "books"} for tags in stats.tags)


def test_load_metrics_with_airflows_stats_raise_nothing() -> None:
    metrics.LoadMetrics("books")(
        Progress(Receipt("upsert", "books", vectors=1), Receipt("upsert", "books"), 1.0, 0.0, 1.0, 1, 0, 0, 0.0)
    )


def test_check_metrics_report_measured_gates_and_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = RecordedStats()
    monkeypatch.setattr(metrics, "Stats", stats)
    gates = (
        GateResult("count", "passed", "", 7, 7),
        GateResult("recall", "failed", "", 0.5, 0.9),
        GateResult("duplicates", "skipped", ""),
    )
    metrics.report_check(CheckResult("books", None, 7, gates, (), 9))
    assert stats.gauges == {"vectorize.check.count": 7, "vectorize.check.recall": 0.5, "vectorize.check.failed": 1}
