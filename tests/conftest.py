"""Prepare the process before any test module is imported: Airflow's environment, which it reads on its first import."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

#: Folders whose tests import Airflow.
AIRFLOW_FOLDERS = [Path(__file__).with_name(name) for name in ("airflow", "hooks", "operators", "producers", "storage")]
HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))
(HOME / "dags").mkdir()
for name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS_"))]:
    del os.environ[name]  # The tests must not use the developer's own Airflow or credentials.
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
}
if "TEST_WITHOUT_SIMDJSON" in os.environ:  # A second run of make test behaves as on a Python without pysimdjson.
    sys.modules["simdjson"] = None  # type: ignore[assignment]
try:
    import simdjson
except ImportError:
    simdjson = None  # type: ignore[assignment]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that import Airflow, and skip those of the fast parser if it is not installed."""
    for item in items:
        if simdjson is None and item.get_closest_marker("fast_parser"):
            item.add_marker(pytest.mark.skip(reason="pysimdjson is not installed"))
        if any(folder in item.path.parents for folder in AIRFLOW_FOLDERS):
            item.add_marker(pytest.mark.airflow)


def pytest_unconfigure() -> None:
    """Remove the temporary Airflow home."""
    shutil.rmtree(HOME, ignore_errors=True)
