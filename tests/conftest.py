"""Airflow reads its environment when it is first imported, so it is set here, before any test module is."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))
(HOME / "dags").mkdir()
for name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS_"))]:
    del os.environ[name]  # whoever runs the tests may have an Airflow and credentials of their own
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
}


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(HOME, ignore_errors=True)
