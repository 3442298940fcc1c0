"""The sections of docs/producers: what a tool writes, the operator that loads it, and the vector in the index."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "producers"


@dataclass(frozen=True)
class Section:
    """A section of a page.

    :param heading: Name of the tool.
    :param blocks: Language and text of each code block, in order.
    """

    heading: str
    blocks: list[tuple[str, str]]

    def text(self, language: str, number: int = 0) -> str:
        """Return a code block of a language."""
        return [text for name, text in self.blocks if name == language][number]


def _sections(page: Path) -> list[Section]:
    found = []
    for part in re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
        if any(language == "python" for language, _ in blocks):
            found.append(Section(part.split("\n")[0], blocks))
    return found


SECTIONS = {section.heading: section for page in sorted(FOLDER.glob("*.md")) for section in _sections(page)}
