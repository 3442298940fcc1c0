"""docs/troubleshooting.md lists every error and code, and quotes the messages of the provider."""

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
#: Classes that are never raised themselves.
BASE_CLASSES = {"VectorizeError", "ApiError"}
MESSAGES = [
    message
    for line in PAGE.partition("## By Cloudflare")[0].split("\n")
    if line.startswith("| ")
    for message in re.findall(r"`([^`]*[ …][^`]*)`", line.split("|")[1])
]


@cache
def texts_of_the_package() -> list[str]:
    """Return every string of the package outside of the local Vectorize, with … for each inserted value."""
    texts = []
    package = Path(airflow_provider_vectorize.__file__).parent
    for path in package.rglob("*.py"):
        if "local" in path.relative_to(package).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                texts.append("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"%[.\d]*[sdf]", "…", node.value))
    return texts


@pytest.mark.parametrize("message", MESSAGES)
def test_troubleshooting_page_quotes_messages_of_the_package(message: str) -> None:
    parts = [re.escape(part) for part in message.rstrip("…").split("…")]
    assert any(re.search(".*".join(parts), text, re.DOTALL) for text in texts_of_the_package())


def test_troubleshooting_page_quotes_most_messages() -> None:
    assert len(MESSAGES) > 45


def test_troubleshooting_page_lists_every_error_class() -> None:
    for name, _ in inspect.getmembers(errors, lambda value: inspect.isclass(value) and issubclass(value, Exception)):
        assert name in BASE_CLASSES or f"`{name}`" in PAGE, name


def test_troubleshooting_page_lists_every_code_with_its_class() -> None:
    documented = {
        int(code): name
        for codes, name in re.findall(r"^\| ([\d, ]+) \|[^|]*\| `(\w+)` \|", PAGE, re.MULTILINE)
        for code in codes.split(", ")
    }
    assert documented == {code: cls.__name__ for code, (cls, _) in BY_CODE.items()}


def test_errors_page_shows_the_error_tree_of_the_code() -> None:
    tree = [line.strip() for line in (errors.__doc__ or "").split("\n") if "Error" in line and "──" in line]
    assert len(tree) > 20
    for line in tree:
        assert line in (DOCS / "errors.md").read_text()
