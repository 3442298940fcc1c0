"""The text of the demo: paragraphs from the documentation in the installed Airflow package."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

#: Allowed length of a paragraph. Shorter ones are headings and notes, longer ones are tables.
PARAGRAPH_CHARACTERS = range(60, 1_500)
#: Beginnings of paragraphs that are not prose: directives, code, tables and licenses.
NOT_PROSE = re.compile(r"(:|\.\.|>>>|[|+#`*<\[{(]|(from|import|class|def|Licensed)\b|.*(-----|=====))")
PARAMETER = re.compile(r"^:param ([\w ]+):", re.MULTILINE)


class Paragraph(NamedTuple):
    """A paragraph and its source.

    :param area: ``configuration``, ``core``, ``sdk`` or ``providers``. It becomes the namespace of the vector.
    :param file: File in the installed package.
    :param original: The text before it was edited. Empty if it was not edited.
    """

    area: str
    file: str
    text: str
    original: str = ""

    @property
    def id(self) -> str:
        """ID of the vector. An edited paragraph keeps its ID, so that its vector is overwritten."""
        text = self.original or self.text
        return f"{self.area}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"

    def edited(self) -> Paragraph:
        """Return the paragraph as its author has changed it overnight."""
        return self._replace(text=f"Revised last night: {self.text}", original=self.original or self.text)


def paragraphs() -> list[Paragraph]:
    """Return all distinct paragraphs, in a stable order."""
    spec = importlib.util.find_spec("airflow")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("Airflow is not installed in this environment.")
    root = Path(spec.submodule_search_locations[0])
    distinct: dict[str, Paragraph] = {}
    for paragraph in (*_configuration(root), *_files(root)):
        distinct.setdefault(paragraph.text, paragraph)
    return list(distinct.values())


def _configuration(root: Path) -> Iterator[Paragraph]:
    """Yield the descriptions of all options in the configuration reference."""
    file = root / "config_templates" / "config.yml"
    for section, content in yaml.safe_load(file.read_text()).items():
        for option, details in content["options"].items():
            for text in _prose(details.get("description") or ""):
                yield Paragraph("configuration", str(file.relative_to(root.parent)), f"[{section}] {option}: {text}")


def _files(root: Path) -> Iterator[Paragraph]:
    """Yield the paragraphs of docstrings and Markdown files."""
    for file in sorted((*root.rglob("*.py"), *root.rglob("*.md"))):
        name = file.relative_to(root.parent)
        if {"_vendor", "migrations", "i18n"} & set(name.parts):
            continue
        area = name.parts[1] if name.parts[1] in ("sdk", "providers") else "core"
        texts = _prose(file.read_text()) if file.suffix == ".md" else _docstrings(file)
        yield from (Paragraph(area, str(name), text) for text in texts)


def _docstrings(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text, *parameters = PARAMETER.split(ast.get_docstring(node) or "")
            yield from _prose(text)
            function = getattr(node, "name", "")
            for name, meaning in zip(parameters[::2], parameters[1::2], strict=True):
                yield from (f"{function}({name.split()[-1]}): {text}" for text in _prose(meaning.split("\n:")[0]))


def _prose(text: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", text):
        paragraph = " ".join(block.split())
        if len(paragraph) in PARAGRAPH_CHARACTERS and not NOT_PROSE.match(paragraph):
            yield paragraph
