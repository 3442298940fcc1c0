"""Public CI calls the same verbs as .ci/run, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_public_ci_and_ours_do_the_same() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    (matrix,) = re.findall(r"verb: \[(.*)\]", workflow)
    public = set(matrix.split(", ")) | set(re.findall(r"run: make ([\w-]+)", workflow))
    makefile = (ROOT / "Makefile").read_text()
    ours = set(re.findall(r"^make ([\w.-]+)", (ROOT / ".ci/run").read_text(), re.MULTILINE))
    (parts,) = re.findall(r"^test-all: (.*?) ##", makefile, re.MULTILINE)
    assert public == ours - {"setup", "test-all"} | set(parts.split())
