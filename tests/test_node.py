from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import pytest

from .node import install

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node and npm")


def test_install_from_several_processes_runs_one_script_at_a_time(tmp_path: Path) -> None:
    script = tmp_path / "install_alone.sh"
    script.write_text(f"#!/bin/sh\nset -e\nmkdir {tmp_path}/running\nsleep 0.05\nrmdir {tmp_path}/running\n")
    script.chmod(0o755)
    processes = [multiprocessing.get_context("spawn").Process(target=install, args=(script,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
