"""The code of docs/test-your-dags.md runs unchanged, in a process and an Airflow home of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.airflow.runs import readme_dag

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/test-your-dags.md").read_text()

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def run_pytest(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in the project of a user who has an Airflow of their own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    user_airflow = {
        "AIRFLOW_HOME": str(project / "user-airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{project}/user.db",
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "user-dags"),
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=project, env=environment | user_airflow, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with the DAG of the README and the code of the page."""
    conftest, tests = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    project = tmp_path / "project"
    for path, text in {
        "dags/load_embeddings.py": readme_dag(ROOT / "README.md") or "",
        "tests/conftest.py": conftest,
        "tests/test_load_embeddings.py": tests,
        "pytest.ini": "[pytest]\n",
    }.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)
    return project


def test_code_of_the_page_runs_and_does_not_touch_another_airflow(project: Path) -> None:
    (project / "tests/test_no_such_dag.py").write_text("def test_it(temporary_airflow): temporary_airflow.dag('x')")
    (project / "dags/broken.py").write_text("from airflow import DAG\n1 / 0")
    result = run_pytest(project, "tests")
    assert "1 failed, 2 passed" in result.stdout, result.stdout + result.stderr
    assert not list(project.glob("user*"))
    assert f"The DAG 'x' does not exist in {project / 'dags'}. Existing DAGs: load_embeddings." in result.stdout
    assert "ZeroDivisionError" in result.stdout


def test_temporary_airflow_after_an_airflow_import_fails(project: Path) -> None:
    (project / "tests/test_load_embeddings.py").write_text(
        "import airflow.configuration\n\ndef test_it(temporary_airflow): ...\n"
    )
    result = run_pytest(project, "tests")
    assert "Airflow was imported before this fixture could set AIRFLOW_HOME" in result.stdout
    assert not (project / "user.db").exists()


def test_temporary_airflow_without_a_dags_folder_names_the_folder(project: Path) -> None:
    (project / "tests/conftest.py").unlink()
    (project / "dags").rename(project / "pipelines")
    result = run_pytest(project, "tests")
    assert f"The DAGs folder {project / 'dags'} does not exist." in result.stdout
