"""The page on testing DAGs: its code runs as pasted, in a process and an Airflow home of its own."""

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
    """Run pytest in a project, as somebody who has an Airflow of their own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    theirs = {
        "AIRFLOW_HOME": str(project / "their-airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{project}/their.db",
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "their-dags"),
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=project, env=clean | theirs, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the DAG of the README, and with the page's code as pasted."""
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


def test_code_of_the_page_runs_as_pasted_and_leaves_another_airflow_alone(project: Path) -> None:
    (project / "tests/test_no_such_dag.py").write_text("def test_it(temporary_airflow): temporary_airflow.dag('x')")
    (project / "dags/broken.py").write_text("from airflow import DAG\n1 / 0")
    done = run_pytest(project, "tests")
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert not list(project.glob("their*"))
    assert f"There is no DAG 'x' in {project / 'dags'}. DAGs found: load_embeddings." in done.stdout
    assert "ZeroDivisionError" in done.stdout


def test_fixture_refuses_to_run_after_airflow_was_imported(project: Path) -> None:
    (project / "tests/test_load_embeddings.py").write_text(
        "import airflow.configuration\n\ndef test_it(temporary_airflow): ...\n"
    )
    done = run_pytest(project, "tests")
    assert "Airflow was imported before the fixture could give it a home of its own" in done.stdout
    assert not (project / "their.db").exists()


def test_fixture_says_which_dags_folder_is_missing(project: Path) -> None:
    (project / "tests/conftest.py").unlink()
    (project / "dags").rename(project / "pipelines")
    done = run_pytest(project, "tests")
    assert f"There is no DAGs folder {project / 'dags'}" in done.stdout
