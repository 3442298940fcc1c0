"""docs/local-vectorize.md is complete, and its pytest example runs."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.engine import data_problems, problems
from airflow_provider_vectorize.local.faults.rules import FAULTS
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.local.http.control import Control
from airflow_provider_vectorize.local.options import parser
from airflow_provider_vectorize.local.routes import ROUTES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/local-vectorize.md").read_text()


def test_pytest_example_of_the_page_runs(
    local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # tests/clients/test_local_vectorize_page.py runs the examples for other clients.
    (example,) = re.findall(r"```python\n(import json.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    names["test_load_after_rate_limit_succeeds"](local_vectorize, monkeypatch, tmp_path)


def test_page_lists_every_fault_with_its_options_and_every_operation() -> None:
    for fault, options in FAULTS.items():
        line = next(line for line in PAGE.splitlines() if line.startswith("|") and f"`{fault}`" in line)
        assert all(f"`{option}`" in line for option in options), fault
    for _, _, operation in ROUTES:
        assert re.search(rf"\b{operation}\b", PAGE) or operation == "verify_token", operation


def test_page_lists_every_command_line_option() -> None:
    for action in parser()._actions:
        for name in action.option_strings:
            assert name in PAGE or name in ("-h", "--help", "--until-stdin-closes"), name


def test_page_lists_every_public_member_of_the_handle() -> None:
    for name, _ in inspect.getmembers(LocalVectorize):
        assert name.startswith("_") or name == "control" or f"`{name}" in PAGE or f".{name}(" in PAGE, name


def test_page_lists_every_path_of_the_control_api() -> None:
    for path in re.findall(r'"(/\w+)", self\.', inspect.getsource(Control)):
        assert path in PAGE, path


def test_page_lists_every_guessed_error_code() -> None:
    for module in (problems, data_problems):
        for _, problem in inspect.getmembers(module, inspect.isclass):
            if problem.guessed:
                assert str(problem.code) in PAGE, problem


def test_page_lists_every_tested_client_with_its_version() -> None:
    scripts = "".join(path.read_text() for path in (ROOT / "tests/clients").glob("install_*.sh"))
    constraints = (ROOT / "constraints.txt").read_text()
    table = re.findall(r"^\| `(@?[\w/-]+)` \((npm|PyPI)\) \| ([\d.]+) \|", PAGE, re.MULTILINE)
    assert len(table) == 6
    for name, _, version in table:
        assert f"={version}" in scripts or f"\n{name}=={version}\n" in constraints, name
    modules = {path.stem for path in (ROOT / "tests/clients").glob("test_*.py")} - {
        "test_kv",
        "test_local_vectorize_page",
        "test_worker",
    }
    assert len(modules) == len(table)
