"""The navigation of the documentation site: four parts, short lists, and every page exactly once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: The rest of the file names Python objects, which the safe loader refuses.
NAVIGATION = yaml.safe_load((ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2])
PARTS = {name: content for item in NAVIGATION for name, content in item.items()}
MOST_ITEMS = 8


def lists(title: str, content: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield each list of the navigation with its title. A section's own page is not one of its items."""
    if isinstance(content, list):
        yield title, [item for item in content if not str(item).endswith("README.md")]
        for item in content:
            if isinstance(item, dict):
                for name, below in item.items():
                    yield from lists(name, below)


def pages(content: Any) -> Iterator[str]:
    """Yield every page below an item of the navigation."""
    if isinstance(content, str):
        yield content
    else:
        for item in content.values() if isinstance(content, dict) else content:
            yield from pages(item)


LISTS = dict(lists("", NAVIGATION))


def test_navigation_has_the_four_parts() -> None:
    assert list(PARTS) == ["Home", "Tutorial", "How-to guides", "Reference", "Explanation"]


@pytest.mark.parametrize("title", [title for title in LISTS if title != "Decisions"])
def test_navigation_list_is_short(title: str) -> None:
    assert 1 < len(LISTS[title]) <= MOST_ITEMS


def test_navigation_names_every_page_once() -> None:
    assert sorted(pages(NAVIGATION)) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_pictures_and_scripts_are_not_loaded_from_other_servers() -> None:
    for path in [*DOCS.rglob("*.md"), *DOCS.rglob("*.svg")]:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"<script|!\[[^\]]*\]\(\w+:|\b(?:src|href)=.?\w+:", text), path
