"""Installation of programs and packages that tests use, into .tools at the root of the project."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / ".tools"
# Node of this virtual environment comes first, because the system's Node may be too old.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def install(script: Path, *, needs: str = "npm") -> None:
    """Run an installation script, which does nothing if its programs are installed already.

    Concurrent test processes run the script one after the other, because two ``npm install`` in one directory remove
    each other's files. The test is skipped if the installer is not available.

    :param needs: The installer that the script runs.
    """
    if shutil.which(needs, path=PATH) is None:
        pytest.skip(f"{script.name} needs {needs}")
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / f"{script.stem}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([script], check=True, timeout=300, env=os.environ | {"PATH": PATH})
