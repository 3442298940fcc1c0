"""The public CI and .ci/run run identical make targets."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_public_ci_and_ci_run_call_the_same_make_targets() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    (matrix,) = re.findall(r"target: \[(.*)\]", workflow)
    public = set(matrix.split(", ")) | set(re.findall(r"run: make ([\w-]+)", workflow))
    makefile = (ROOT / "Makefile").read_text()
    ci_run = set(re.findall(r"^make ([\w.-]+)", (ROOT / ".ci/run").read_text(), re.MULTILINE))
    (parts,) = re.findall(r"^test-all: (.*?) ##", makefile, re.MULTILINE)
    assert public == ci_run - {"setup", "test-all"} | set(parts.split())
