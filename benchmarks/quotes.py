"""Copy figures of the results into the pages that quote them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results.md"
#: Pages with quoted tables.
PAGES = (ROOT / "README.md", ROOT / "docs/comparison.md")


def quote(page: str, results: str) -> str:
    """Return a page with the figures of the results.

    A table is quoted if its heading is also a heading of the results. It may have fewer columns and rows, which are
    found by the names of the columns and by the first cell of the rows.

    :raises KeyError: The results have no such row or column.
    """
    found = {heading: _table(text) for heading, text in _sections(results)}
    for heading, text in _sections(page):
        if figures := found.get(heading):
            page = page.replace(text, _with_figures(text, figures))
    return page


def update_pages() -> None:
    """Write the figures of the results into all pages that quote them."""
    for page in PAGES:
        page.write_text(quote(page.read_text(), RESULTS.read_text()))


def _sections(page: str) -> list[tuple[str, str]]:
    """Return the headings of a page, each with the text below it."""
    parts = re.split(r"^#+ (.*)\n", page, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _table(text: str) -> dict[str, dict[str, str]]:
    """Return the rows of the first table by their first cell."""
    lines = _table_lines(text)
    return {_cells(line)[0]: dict(zip(_cells(lines[0]), _cells(line), strict=True)) for line in lines[2:]}


def _table_lines(text: str) -> list[str]:
    """Return the lines of the first table."""
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return table.group().splitlines() if table else []


def _with_figures(text: str, figures: dict[str, dict[str, str]]) -> str:
    lines = _table_lines(text)
    for line in lines[2:]:
        row = figures[_cells(line)[0]]
        text = text.replace(line, f"| {' | '.join(row[name] for name in _cells(lines[0]))} |")
    return text


if __name__ == "__main__":
    update_pages()
