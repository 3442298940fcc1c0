"""The measured tables of docs/comparison.md hold figures of benchmarks/results.md and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COLUMNS = ("", "MB/s of source", "MB over an empty run", "requests", "MB sent")
Table = list[dict[str, str]]


def tables(path: Path) -> dict[str, Table]:
    """Return the first table below each heading of a page, as one dict for each row."""
    found = {}
    for section in re.split(r"^#+ ", path.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*", text, re.MULTILINE)
        ]
        if rows:
            found[heading] = [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]
    return found


RESULTS = tables(ROOT / "benchmarks/results.md")
MEASURED = {
    heading: table for heading, table in tables(ROOT / "docs/comparison.md").items() if "MB/s of source" in table[0]
}


def test_comparison_page_has_measured_tables() -> None:
    assert len(MEASURED) >= 4


@pytest.mark.parametrize("heading", MEASURED)
def test_comparison_table_quotes_the_benchmark_results(heading: str) -> None:
    measured = [{name: row[name] for name in COLUMNS} for row in RESULTS[heading]]
    assert all(row in measured for row in MEASURED[heading]), heading
