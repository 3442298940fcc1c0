"""The measured tables of README.md and docs/comparison.md hold figures of benchmarks/results.md and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.quotes import PAGES, RESULTS, quote

MEASURED = """\
# Results

## 1 GB

| | s | MB/s |
|---|--:|--:|
| socket | 0.5 | 2000 |
| load | 2.0 | 500 |
"""
PAGE = """\
# Comparison

| topic | note |
|---|---|
| load | unmeasured |

## 1 GB

| | MB/s |
|---|--:|
| load | 499 |

The end.
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_quotes_the_benchmark_results(page: Path) -> None:
    assert quote(page.read_text(), RESULTS.read_text()) == page.read_text()


def test_pages_quote_tables_of_the_results() -> None:
    headings = [line for line in RESULTS.read_text().splitlines() if line.startswith("## ")]
    quoted = [[page.name for heading in headings if f"#{heading}\n" in page.read_text()] for page in PAGES]
    assert [len(names) for names in quoted] == [1, 4]


def test_quote_with_another_figure_copies_it_into_the_row() -> None:
    assert quote(PAGE, MEASURED) == PAGE.replace("| load | 499 |", "| load | 500 |")


@pytest.mark.parametrize(("text", "replacement"), [("| load | 499 |", "| loads | 499 |"), ("MB/s", "GB/s")])
def test_quote_of_a_missing_row_or_column_fails(text: str, replacement: str) -> None:
    with pytest.raises(KeyError):
        quote(PAGE.replace(text, replacement), MEASURED)
