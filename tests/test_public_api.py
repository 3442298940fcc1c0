"""Public names and their signatures: code of users must not break without a line in the changelog.

``public_api.json`` holds the signatures of the last release. New names and new optional parameters may be added.
Run ``python -m tests.test_public_api`` to write it anew after a deliberate change.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow
SNAPSHOT = Path(__file__).with_name("public_api.json")
PACKAGE = "airflow_provider_vectorize"
#: Modules of which every public name that they define is public.
MODULES = (
    "api.client",
    "api.credentials",
    "api.limits",
    "api.models",
    "assets",
    "checks.gates",
    "decorators.load",
    "errors",
    "events",
    "hooks.vectorize",
    "links.load",
    "local.handle",
    "local.pytest_plugin",
    "operators.check",
    "operators.index",
    "operators.load",
    "operators.metadata_index",
    "operators.plan",
    "operators.query",
    "operators.switch_over",
    "operators.sync",
    "operators.vectors",
    "pytest_airflow",
    "retries",
    "sensors.mutation",
    "triggers.index",
    "triggers.mutation",
)
#: Helpers of these modules that no documentation names.
INTERNAL = {"links.load.index_url", "links.load.object_url", "retries.Decision", "retries.decide"}
INTERNAL_METHODS = {"check_literals", "checked_execution", "record_operation"}
Signature = list[list[str]]


def public_signatures() -> dict[str, Signature]:
    """Return the parameters (name, kind, default) of every public class, method and function by its dotted name."""
    found: dict[str, Signature] = {}
    for name in MODULES:
        module = importlib.import_module(f"{PACKAGE}.{name}")
        for attribute, value in vars(module).items():
            where = f"{name}.{attribute}"
            if attribute.startswith("_") or where in INTERNAL or getattr(value, "__module__", "") != module.__name__:
                continue
            if inspect.isclass(value):
                found[where] = _parameters(value)
                for method, function in inspect.getmembers(value, callable):
                    if not method.startswith("_") and method not in INTERNAL_METHODS and _is_ours(function):
                        found[f"{where}.{method}"] = _parameters(function)
            elif callable(value):
                found[where] = _parameters(value)
    return found


def _is_ours(function: Any) -> bool:
    return (getattr(function, "__module__", "") or "").startswith(PACKAGE)


def _parameters(function: Any) -> Signature:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [[p.name, p.kind.name, "" if p.default is p.empty else _stable(p.default)] for p in parameters]


def _stable(default: Any) -> str:
    return default.__qualname__ if callable(default) and hasattr(default, "__qualname__") else repr(default)


def _broken(before: Signature, now: Signature) -> str:
    """Return what a caller of the earlier signature would notice, or an empty string."""
    if before == now:
        return ""
    by_name = {name: (kind, default) for name, kind, default in now}
    for name, kind, default in before:
        if name not in by_name:
            return f"parameter {name} is gone"
        if by_name[name] != (kind, default):
            return f"parameter {name} was {kind} {default}, and is {' '.join(by_name[name])}"
    positional = [name for name, kind, _ in before if kind == "POSITIONAL_OR_KEYWORD"]
    if [name for name, kind, _ in now if kind == "POSITIONAL_OR_KEYWORD"][: len(positional)] != positional:
        return "the order of positional parameters differs"
    known = {name for name, _, _ in before}
    required = [name for name, kind, default in now if name not in known and not default and "VAR_" not in kind]
    return f"new required parameters: {', '.join(required)}" if required else ""


def test_public_names_and_signatures_stay_compatible() -> None:
    now = public_signatures()
    before: dict[str, Signature] = json.loads(SNAPSHOT.read_text())
    gone = sorted(set(before) - set(now))
    broken = {name: fault for name in before if name in now and (fault := _broken(before[name], now[name]))}
    assert (gone, broken) == ([], {})


@pytest.mark.parametrize(
    ("now", "fault"),
    [
        ([["a", "POSITIONAL_OR_KEYWORD", ""], ["b", "KEYWORD_ONLY", "1"]], ""),
        ([["a", "POSITIONAL_OR_KEYWORD", ""], ["b", "KEYWORD_ONLY", "1"], ["c", "KEYWORD_ONLY", "None"]], ""),
        ([["a", "POSITIONAL_OR_KEYWORD", ""]], "parameter b is gone"),
        ([["a", "POSITIONAL_OR_KEYWORD", ""], ["b", "KEYWORD_ONLY", "2"]], "parameter b was"),
        (
            [["c", "POSITIONAL_OR_KEYWORD", "0"], ["a", "POSITIONAL_OR_KEYWORD", ""], ["b", "KEYWORD_ONLY", "1"]],
            "order",
        ),
        ([["a", "POSITIONAL_OR_KEYWORD", ""], ["b", "KEYWORD_ONLY", "1"], ["c", "KEYWORD_ONLY", ""]], "new required"),
    ],
)
def test_comparison_of_signatures_names_the_break(now: Signature, fault: str) -> None:
    found = _broken([["a", "POSITIONAL_OR_KEYWORD", ""], ["b", "KEYWORD_ONLY", "1"]], now)
    assert fault in found
    assert bool(fault) == bool(found)


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(signature)}" for name, signature in sorted(public_signatures().items())]
    SNAPSHOT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
