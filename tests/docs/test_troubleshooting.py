"""Troubleshooting has every error and every code, and its sentences are those that the provider says."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

import airflow_provider_vectorize
from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api.answers import BY_CODE

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "troubleshooting.md").read_text()
#: Those that are never raised themselves.
BASES = {"VectorizeError", "ApiError"}
SYMPTOMS = [
    symptom
    for line in PAGE.partition("## By Cloudflare")[0].split("\n")
    if line.startswith("| ")
    for symptom in re.findall(r"`([^`]*[ …][^`]*)`", line.split("|")[1])
]


@cache
def sentences() -> list[str]:
    """Every text in the package's code, with … for what is filled in."""
    found = []
    package = Path(airflow_provider_vectorize.__file__).parent
    for path in package.rglob("*.py"):
        if "local" in path.relative_to(package).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.append("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%[.\d]*[sdf]", "…", node.value))
    return found


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_the_provider_says_what_the_page_says_that_it_says(symptom: str) -> None:
    parts = [re.escape(part) for part in symptom.rstrip("…").split("…")]
    assert any(re.search(".*".join(parts), sentence, re.DOTALL) for sentence in sentences())


def test_there_are_many_symptoms() -> None:
    assert len(SYMPTOMS) > 45


def test_every_error_is_on_the_page() -> None:
    for name, _ in inspect.getmembers(errors, lambda one: inspect.isclass(one) and issubclass(one, Exception)):
        assert name in BASES or f"`{name}`" in PAGE, name


def test_every_code_is_there_with_its_class() -> None:
    told = {
        int(code): name
        for codes, name in re.findall(r"^\| ([\d, ]+) \|[^|]*\| `(\w+)` \|", PAGE, re.MULTILINE)
        for code in codes.split(", ")
    }
    assert told == {code: cls.__name__ for code, (cls, _) in BY_CODE.items()}


def test_the_tree_of_errors_is_drawn_as_in_the_code() -> None:
    tree = [line.strip() for line in (errors.__doc__ or "").split("\n") if "Error" in line and "──" in line]
    assert len(tree) > 20
    for line in tree:
        assert line in (DOCS / "errors.md").read_text()
