"""The report is one page that loads nothing, names everything, and shows no text as markup."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from airflow_provider_vectorize.checks.report import SIGNATURE, render_report
from airflow_provider_vectorize.checks.result import CheckResult, GateResult, QueryOutcome

NOW = datetime(2026, 1, 31, 4, 5, tzinfo=UTC)
GATES = (
    GateResult("count", "passed", "1,200 vectors", 1200, 1200),
    GateResult("recall", "failed", "0.712 of the exact nearest neighbors", 0.712, 0.9),
    GateResult("duplicates", "passed", "none", 0.0, 0.01, False),
    GateResult("golden_recall", "skipped", "there are no golden queries"),
)
QUERIES = (
    QueryOutcome("line 1", True, 1, 1.0),
    QueryOutcome("line 2", True, 3, 0.5, ("page-7",)),
    QueryOutcome("page-9", False, None, 0.0, ("<b>&",)),
)


def page(gates: tuple[GateResult, ...] = GATES, queries: tuple[QueryOutcome, ...] = QUERIES, name: str = "docs") -> str:
    return render_report(CheckResult(name, "2026-01-01T00:00:00+00:00", 1200, gates, queries, 91), NOW).decode()


def test_report_names_verdict_gates_and_figures() -> None:
    text = page()
    assert text.startswith(SIGNATURE.decode())
    for expected in ("1 of 3 gates failed", "docs", "1,200", "91", "2026-01-31 04:05 UTC", "0.712", "golden recall"):
        assert expected in text
    assert "All 2 gates passed" in page((GATES[0], GATES[2]))


def test_report_lists_failed_gates_first() -> None:
    text = page()
    assert text.index("<b>recall</b>") < text.index("<b>count</b>") < text.index("<b>duplicates</b>")


def test_report_lists_imperfect_queries_worst_first() -> None:
    found_at_once = (QueryOutcome("good", True, 1, 1.0), QueryOutcome("self", False, 1, None))
    lost = QueryOutcome("lost", True, None, 0.9, ("page-3",))
    text = page(queries=(*found_at_once, *QUERIES[1:2], lost, QueryOutcome("late", True, 2, 1.0)))
    cells = re.findall(r"<tr><td><code>(.*?)</code>", text)
    assert cells == ["lost", "line 2", "late"]


def test_report_loads_nothing_and_has_both_color_schemes() -> None:
    text = page()
    assert not re.search(r"<script|<link|<img|https?:|url\(|@import", text)
    assert "prefers-color-scheme:dark" in text


def test_report_status_has_a_word_and_a_sign() -> None:
    text = page()
    for words in ("✓ Passed", "✕ Failed", "○ Skipped"):
        assert words in text


def test_report_escapes_ids_and_names() -> None:
    text = page(name="<script>alert(1)</script>")
    assert "<script" not in text
    assert "&lt;b&gt;&amp;" in text


def test_report_charts_are_well_formed_and_describe_each_query() -> None:
    charts = re.findall(r"<svg.*?</svg>", page(), re.DOTALL)
    assert len(charts) == 3 + 2
    titles = [title.text for chart in charts for title in ET.fromstring(chart).iter("title")]
    assert "line 2: rank 3, recall 0.50, missing page-7" in titles
    assert "recall: 0.712, at least 0.900" in titles


def test_report_elements_are_closed() -> None:
    class Parser(HTMLParser):
        open_tags: list[str] = []  # noqa: RUF012 - one parser

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in {"meta"}:
                self.open_tags.append(tag)

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag

    parser = Parser()
    parser.feed(page())
    assert parser.open_tags == []


def test_report_without_queries_has_no_empty_section() -> None:
    assert "Golden queries" not in page(queries=())
